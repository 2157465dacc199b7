"""Erasing a subject's content so that the journal says it happened: intent, erasure, outcome.

The records name refs and a keyed hash of the subject, never the subject. The chain is not touched.
"""

import time

import msgspec

from agentfield_journal.content.port import Erasure
from agentfield_journal.content.store import QueuedContentStore
from agentfield_journal.engine import StoreJournal
from agentfield_journal.envelope import Draft
from agentfield_journal.writer import StoreRunWriter

ERASURE_RUN = "journal/erasures"
REQUESTED_KIND = "content_erase_requested"
ERASED_KIND = "content_erased"

_encode = msgspec.msgpack.Encoder().encode


class ErasureReason(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked and why, in words that identify nobody."""

    requested_by: str
    reason: str


async def erase_subject(
    journal: StoreJournal, content: QueuedContentStore, subject: str, *, why: ErasureReason
) -> Erasure:
    """Erase all content of `subject`, journaled before and after.

    Crash-safe and idempotent: after a crash call it, or `resume_erasures`, again.

    Raises:
        JournalUnavailable: the journal or the content store failed; nothing is half-erased for readers.
    """
    writer = await journal.open_run(ERASURE_RUN)
    op_id = f"erase.{writer.head.seq + 1}"
    request = _draft(REQUESTED_KIND, writer, op_id=op_id, payload=why)
    await writer.durable(writer.append([request]))
    erasure = await content.erase(subject)
    outcome = _draft(ERASED_KIND, writer, op_id=op_id, payload=erasure, request=request.record_id)
    await writer.durable(writer.append([outcome]))
    await writer.release()
    return erasure


async def resume_erasures(journal: StoreJournal, content: QueuedContentStore) -> list[Erasure]:
    """Finish erasures that a crash interrupted and journal them. Call it when a process starts."""
    done = await content.unfinished_erasures()
    if done:
        writer = await journal.open_run(ERASURE_RUN)
        for erasure in done:
            op_id = f"erase.{writer.head.seq + 1}"
            writer.append([_draft(ERASED_KIND, writer, op_id=op_id, payload=erasure)])
        await writer.release()
    return done


def _draft(
    kind: str, writer: StoreRunWriter, *, op_id: str, payload: msgspec.Struct, request: str | None = None
) -> Draft:
    return Draft(
        record_id=f"{kind}.{writer.head.seq + 1}",
        kind=kind,
        at_ns=time.time_ns(),
        payload=_encode(payload),
        op_id=op_id,
        request_record_id=request,
        content_refs=tuple(payload.refs) if isinstance(payload, Erasure) else (),
    )
