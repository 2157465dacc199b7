"""Audio under load while its connection is replaced a thousand times: each frame has one fate, in turn."""

import asyncio
import random
from collections import Counter

import pytest

from agentfield_journal import StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.controller import EACH, Backoff, BoundarySettings, RealtimeSessionController, Windows
from agentfield_rt.core import records
from agentfield_rt.core.records import Limits
from agentfield_rt.errors import ConnectionLost, GateOverflow, IllegalCommand, ProviderError, Reason
from agentfield_rt.frames import FRAME_BYTES, FRAME_MS, AudioFrame, InputFrame
from agentfield_rt.items import History
from agentfield_rt.ports import Connection, ConnectRequest
from agentfield_rt.recovery import history
from agentfield_rt.run import Run
from agentfield_rt.testing import MemoryProvider
from tests.virtual_time import in_virtual_time, time_passes

SENDERS_AHEAD_MAX = 64


class BadLine(MemoryProvider):
    """Takes milliseconds for a frame, hundreds of them for a connection, and breaks in the middle."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.journal = StoreJournal(MemoryStore())
        self._chance = chance
        self._connection = 0

    async def send(self, frame: InputFrame) -> None:
        connection = self._connection
        arrives_first = self._chance.random() < 0.5
        if arrives_first:
            await super().send(frame)
        if self._chance.random() < 0.3:
            await time_passes(self._chance.random() / 100)
        if connection != self._connection:
            raise ConnectionLost("it broke with the frame on the wire")
        if not arrives_first:
            await super().send(frame)

    async def restart(self, request: ConnectRequest) -> Connection:
        await time_passes(self._chance.random() * 0.4)
        return await super().restart(request)

    def breaks(self) -> None:
        self._connection += 1
        self.drop()


class Speech:
    """What became of every frame, as its sender was told."""

    def __init__(self, session: RealtimeSessionController) -> None:
        self._session = session
        self.told: dict[str, str] = {}

    async def send(self, number: int) -> None:
        frame = AudioFrame(f"frame-{number}", number.to_bytes(4, "little") * (FRAME_BYTES // 4))
        try:
            was_sent = await self._session.send(frame)
        except GateOverflow:
            self.told[frame.frame_id] = "refused"
        except ProviderError as error:
            self.told[frame.frame_id] = "refused" if error.not_done else "in doubt"
        else:
            self.told[frame.frame_id] = "sent" if was_sent else "waited"


async def _listen(session: RealtimeSessionController) -> None:
    while True:
        try:
            await session.receive(demand=64)
        except ProviderError as error:
            if error.reason is not Reason.SUPERSEDED:
                await session.reconnect(error.reason, history=History)
        except IllegalCommand:  # a frame that was sent found the loss first
            await session.reconnect(Reason.CONNECTION_LOST, history=History)


async def _speak(windows: Windows, *, restarts: int) -> tuple[Speech, BadLine, RealtimeSessionController]:
    chance = random.Random(restarts)
    line = BadLine(chance)
    run = await Run.open(line.journal, "run_frames")
    settings = BoundarySettings(
        windows=windows, limits=Limits(restarts_max=restarts), backoff=lambda: Backoff(first_s=0.0)
    )
    session = RealtimeSessionController(line, run, session_id="sess_frames", settings=settings)
    await session.connect()
    speech, listening = Speech(session), asyncio.create_task(_listen(session))
    sending = set[asyncio.Task[None]]()
    number, breaks_in = 0, 0
    while session.state.restart_count < restarts:
        sending.add(asyncio.create_task(speech.send(number)))
        number += 1
        if session.state.is_open and not session.state.gated:
            breaks_in -= 1
        if breaks_in < 0:
            await time_passes(chance.random() / 100)
            line.breaks()
            breaks_in = chance.randrange(8)
        await time_passes(FRAME_MS / 1000)
        sending = {task for task in sending if not task.done()}
        assert len(sending) <= SENDERS_AHEAD_MAX
        assert not listening.done(), "nobody listens any more"
    await asyncio.gather(*sending)
    await time_passes(5.0)
    listening.cancel()
    return speech, line, session


async def _doubts(line: BadLine, session: RealtimeSessionController) -> list[str]:
    """Frames that left the gate, and of which the journal says that nobody knows."""
    await session.durable()
    doubts: list[str] = []
    opened: dict[str, str | None] = {}
    for record in await history(line.journal, session.run.run_id):
        match record:
            case records.InputSendRequested():
                opened[record.op_id] = record.frame_id
            case records.InputSendUnknown(op_id=op_id) if (frame_id := opened[op_id]) is not None:
                doubts.append(frame_id)
            case _:
                pass
    return doubts


@in_virtual_time
@pytest.mark.parametrize(("windows", "restarts"), [(Windows(), 1_000), (EACH, 200)], ids=["windows", "each"])
async def test_over_a_thousand_restarts_no_frame_is_lost_repeated_or_out_of_turn(
    windows: Windows, restarts: int
) -> None:
    speech, line, session = await _speak(windows, restarts=restarts)
    arrived = Counter(frame.frame_id for frame in line.got)
    fates = Counter(speech.told.values())
    doubts = await _doubts(line, session)
    assert session.state.restart_count == restarts
    for frame_id, fate in speech.told.items():
        match fate:
            case "waited" if not arrived[frame_id]:  # it was on the wire when the next connection broke
                doubts.remove(frame_id)
            case "sent" | "waited":
                assert arrived[frame_id] == 1, f"{frame_id} was {fate}, and arrived {arrived[frame_id]} times"
            case "in doubt":  # it was on the wire when the connection broke: nobody knows, nobody repeats it
                assert arrived[frame_id] <= 1
            case _:
                assert not arrived[frame_id], f"{frame_id} was refused, and arrived"
    order = [int.from_bytes(frame.pcm[:4], "little") for frame in line.got if isinstance(frame, AudioFrame)]
    assert order == sorted(order), "a frame overtook another"
    assert fates["in doubt"] <= restarts, "more than one frame was on the wire"
    assert min(fates["sent"], fates["waited"], fates["in doubt"]) > restarts // 20, fates
    await session.close()
