"""Erasing a subject's content so that the journal says it happened: intent, erasure, outcome.

The records name refs and a keyed hash of the subject, never the subject. The chain is not touched.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import msgspec

from agentfield_journal.content.port import Erasure
from agentfield_journal.content.store import QueuedContentStore
from agentfield_journal.engine import StoreJournal
from agentfield_journal.envelope import Draft, Envelope
from agentfield_journal.writer import StoreRunWriter

ERASURE_RUN = "journal/erasures"
REQUESTED_KIND = "content_erase_requested"
ERASED_KIND = "content_erased"

_encode = msgspec.msgpack.Encoder().encode


class ErasureReason(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked and why, in words that identify nobody."""

    requested_by: str
    reason: str


class ErasureRequest(ErasureReason, frozen=True, kw_only=True):
    """Payload of an intent. `tag` names the subject; it is empty in intents of early versions."""

    tag: str = ""


_decode_request = msgspec.msgpack.Decoder(ErasureRequest).decode

_turns: WeakKeyDictionary[StoreJournal, asyncio.Lock] = WeakKeyDictionary()
"""Of a journal: erasures share one run, which has one writer."""


async def erase_subject(
    journal: StoreJournal, content: QueuedContentStore, subject: str, *, why: ErasureReason
) -> Erasure:
    """Erase all content of `subject`, journaled before and after.

    Crash-safe and idempotent: an erasure that was interrupted is finished by the next one, or by
    `resume_erasures`.

    Raises:
        JournalUnavailable: the journal or the content store failed; nothing is half-erased for readers.
        JournalConflict: somebody reads the store without a pause: the content is gone for readers, its
            bytes are not. Resume it.
    """
    async with _erasures(journal) as writer:
        await _resume(journal, content, writer)
        tag = content.tag(subject)
        payload = ErasureRequest(requested_by=why.requested_by, reason=why.reason, tag=tag)
        request = _draft(REQUESTED_KIND, writer, op_id=f"erase.{writer.head.seq + 1}", payload=payload)
        await writer.durable(writer.append([request]))
        erasure = await content.erase_tagged(tag)
        await _journal_outcome(writer, erasure, op_id=request.op_id, request=request.record_id)
        await content.forget_erased(tag)
        return erasure


async def resume_erasures(journal: StoreJournal, content: QueuedContentStore) -> list[Erasure]:
    """Finish erasures that a crash interrupted and journal them. Call it when a process starts.

    Raises:
        JournalUnavailable: the journal or the content store failed.
        JournalConflict: somebody reads the store without a pause, or another process writes that run.
    """
    if not (_open_requests(await journal.read(ERASURE_RUN)) or await content.unfinished_erasures()):
        return []
    async with _erasures(journal) as writer:
        return await _resume(journal, content, writer)


@asynccontextmanager
async def _erasures(journal: StoreJournal) -> AsyncGenerator[StoreRunWriter]:
    async with _turns.setdefault(journal, asyncio.Lock()):
        writer = await journal.open_run(ERASURE_RUN)
        try:
            yield writer
        finally:
            await writer.release()


async def _resume(
    journal: StoreJournal, content: QueuedContentStore, writer: StoreRunWriter
) -> list[Erasure]:
    """Give every intent without an outcome its outcome, and every erasure without an intent one too."""
    records = await journal.read(ERASURE_RUN)
    told = {ref for record in records if record.kind == ERASED_KIND for ref in record.content_refs}
    unfinished = {erasure.tag: erasure for erasure in await content.unfinished_erasures()}
    done: list[Erasure] = []
    for request in _open_requests(records):
        tag = _decode_request(request.payload).tag
        # Without a trace in the store it was not begun.
        erasure = unfinished.pop(tag, None) or await content.erase_tagged(tag)
        await _journal_outcome(writer, erasure, op_id=request.op_id, request=request.record_id)
        await content.forget_erased(tag)
        done.append(erasure)
    for erasure in unfinished.values():
        if not told.issuperset(erasure.refs):  # otherwise it was journaled, and only not forgotten
            await _journal_outcome(writer, erasure, op_id=f"erase.{writer.head.seq + 1}")
            done.append(erasure)
        await content.forget_erased(erasure.tag)
    return done


def _open_requests(records: Sequence[Envelope]) -> list[Envelope]:
    answered = {record.request_record_id for record in records}
    return [r for r in records if r.kind == REQUESTED_KIND and r.record_id not in answered]


async def _journal_outcome(
    writer: StoreRunWriter, erasure: Erasure, *, op_id: str | None, request: str | None = None
) -> None:
    outcome = _draft(ERASED_KIND, writer, op_id=op_id, payload=erasure, request=request)
    await writer.durable(writer.append([outcome]))


def _draft(
    kind: str,
    writer: StoreRunWriter,
    *,
    op_id: str | None,
    payload: msgspec.Struct,
    request: str | None = None,
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
