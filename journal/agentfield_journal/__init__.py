"""An append-only journal that can be verified: hash-chained records, durable when acknowledged.

Knows nothing of sessions, providers or AgentField.
"""

import logging

from agentfield_journal.content.port import ContentStore
from agentfield_journal.content.store import QueuedContentStore
from agentfield_journal.engine import Limits, StoreJournal
from agentfield_journal.envelope import FORMAT_VERSION, Cursor, Draft, Envelope, Privacy, Retention
from agentfield_journal.errors import (
    BatchTooLarge,
    ContentGone,
    JournalConflict,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalUnavailable,
    RunLeased,
    UnknownVersion,
)
from agentfield_journal.opening import Opening, open_content, open_journal
from agentfield_journal.ports import Journal, RunHead, RunWriter
from agentfield_journal.stores.leasing import LeaseTerms
from agentfield_journal.verification import Finding, Report, verify

__all__ = [
    "FORMAT_VERSION",
    "BatchTooLarge",
    "ContentGone",
    "ContentStore",
    "Cursor",
    "Draft",
    "Envelope",
    "Finding",
    "Journal",
    "JournalConflict",
    "JournalCorrupt",
    "JournalError",
    "JournalFull",
    "JournalUnavailable",
    "LeaseTerms",
    "Limits",
    "Opening",
    "Privacy",
    "QueuedContentStore",
    "Report",
    "Retention",
    "RunHead",
    "RunLeased",
    "RunWriter",
    "StoreJournal",
    "UnknownVersion",
    "open_content",
    "open_journal",
    "verify",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent until whoever runs it configures logs
