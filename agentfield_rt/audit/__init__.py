"""Does a journal keep what the runtime promises? One pass, findings with stable codes, nothing written.

`agentfield_journal.verify` asks whether what is stored is what was written; this asks whether what was
written is what should have happened.
"""

from agentfield_rt.audit.auditor import Auditor, audit, audit_journal
from agentfield_rt.audit.report import Code, Finding, Report

__all__ = ["Auditor", "Code", "Finding", "Report", "audit", "audit_journal"]
