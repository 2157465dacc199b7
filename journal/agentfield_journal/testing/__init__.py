"""What every store must do, as plain async functions: run each of `CHECKS` against your store.

Imports no test framework.
"""

from agentfield_journal.testing.conformance import CHECKS, Check, OpenAgain
from agentfield_journal.testing.drafts import make_draft

__all__ = ["CHECKS", "Check", "OpenAgain", "make_draft"]
