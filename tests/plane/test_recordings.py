"""What is handed out of a recording of which a piece is gone: nothing, or no whole file."""

from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from agentfield_journal import ContentGone, QueuedContentStore, StoreJournal
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.envelope import Retention
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.core import records
from agentfield_rt.core.records import RecordedSide
from agentfield_rt.plane.calls.recording_routes import recording
from agentfield_rt.plane.errors import Gone
from agentfield_rt.plane.notation import new_session_id, run_id_of
from agentfield_rt.run import Context, Run

PIECES = [b"OggS one", b"OggS two", b"OggS three"]


class Shelf:
    """A content store of which the test takes something away."""

    def __init__(self, content: QueuedContentStore) -> None:
        self._content = content
        self.gone: set[str] = set()

    async def get(self, ref: str) -> bytes:
        if ref in self.gone:
            raise ContentGone(ref, reason="erased")
        return await self._content.get(ref)


class Kept:
    """A plane that has one recording, in three pieces."""

    def __init__(self, journal: StoreJournal, shelf: Shelf, session_id: str, refs: list[str]) -> None:
        self.plane: Any = SimpleNamespace(journal=journal, content=shelf)
        self.row: Any = SimpleNamespace(session_id=session_id, run_id=run_id_of(session_id))
        self.shelf, self.refs = shelf, refs

    async def fetched(self) -> AsyncGenerator[bytes]:
        answer = await recording(self.row, self.plane)
        async for piece in answer.body_iterator:
            assert isinstance(piece, bytes)
            yield piece


@pytest_asyncio.fixture
async def kept() -> AsyncGenerator[Kept]:
    journal, content = StoreJournal(MemoryStore()), QueuedContentStore(MemoryContent())
    session_id, side = new_session_id(), RecordedSide()
    run = await Run.open(journal, run_id_of(session_id))
    refs = [content.put(piece, subject=session_id, retention=Retention.SESSION) for piece in PIECES]
    segments = [
        records.RecordingSegmentStored(
            recording_id="rec_1", number=number, content_ref=ref, samples=number, digest=bytes(32),
            caller=side, agent=side,
        )
        for number, ref in enumerate(refs, 1)
    ]  # fmt: skip
    started = records.RecordingStarted(op_id="rec_1", format="ogg_opus")
    run.append([started, *segments], Context(session_id=session_id))
    await run.durable()
    yield Kept(journal, Shelf(content), session_id, refs)
    await journal.close()
    await content.close()


@pytest.mark.asyncio
async def test_all_pieces_in_their_order_are_the_file(kept: Kept) -> None:
    assert [piece async for piece in kept.fetched()] == PIECES


@pytest.mark.parametrize("piece", [0, 1, 2])
@pytest.mark.asyncio
async def test_where_a_piece_is_missing_the_answer_says_so_before_it_begins(kept: Kept, piece: int) -> None:
    kept.shelf.gone.add(kept.refs[piece])
    with pytest.raises(Gone, match="erased"):
        await anext(kept.fetched())


@pytest.mark.asyncio
async def test_what_is_erased_while_it_is_fetched_is_not_taken_for_the_whole(kept: Kept) -> None:
    pieces = kept.fetched()
    await anext(pieces)
    kept.shelf.gone.add(kept.refs[1])
    with pytest.raises(ContentGone):
        await anext(pieces)
