"""Frames on their way to the provider: in a window, by themselves, or waiting behind the gate."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from agentfield_rt.controller.audio import AudioFlow, OutgoingAudio
from agentfield_rt.controller.calls import Call, Rest, observe
from agentfield_rt.controller.operations import Operations
from agentfield_rt.controller.window import Windows
from agentfield_rt.core import commands, records
from agentfield_rt.core.outcomes import Records
from agentfield_rt.core.records import GatePolicy
from agentfield_rt.errors import GateOverflow, ProviderError, Reason
from agentfield_rt.frames import AudioFrame, InputFrame
from agentfield_rt.idle import Lock, Signal
from agentfield_rt.ports import ProviderAdapter


class _Lane:
    """Frames that keep their order: `order` among the callers, `operation` for the one that is under way."""

    def __init__(self) -> None:
        self.order = Lock()
        self.operation = Lock()


class Outgoing:
    """Sends frames, audio in one lane and the rest in another: text waits for the disk, audio must not.

    `_wire` is held around every `send` of the adapter, which never overlaps itself.
    """

    def __init__(self, adapter: ProviderAdapter, operations: Operations, windows: Windows) -> None:
        self._adapter = adapter
        self._operations = operations
        self._in_windows = windows.frames_max > 1
        self._window = OutgoingAudio(adapter, operations, windows)
        self._audio = _Lane()
        self._other = _Lane()
        self._wire = Lock()
        self._queued = 0
        self._gated: dict[str, InputFrame] = {}
        self._gate_moved = Signal()
        self._releasing: asyncio.Task[None] | None = None

    @property
    def sent_total(self) -> int:
        """Frames the provider took, those of the open window included."""
        return self._operations.state.send_cursor + self._window.unrecorded

    async def send(self, frame: InputFrame) -> bool:
        """See `RealtimeSessionController.send`."""
        overtakes_none = not self._queued and self._releasing is None
        if overtakes_none and isinstance(frame, AudioFrame) and (flow := self._window.ready) is not None:
            if (rest := self._window.begin(flow, frame)) is not None:
                await self._finish_in_turn(flow, frame, rest)
            return True
        limits = self._operations.state.limits
        if self._queued >= limits.high_water and limits.policy is not GatePolicy.BLOCK:
            raise GateOverflow(f"{self._queued} frames wait for the provider; this one was not taken")
        self._queued += 1
        try:
            if not isinstance(frame, AudioFrame):
                async with self._other.order:
                    return await self._send_alone(self._other, frame)
            async with self._audio.order:
                if self._in_windows:
                    return await self._send_in_window(frame)
                return await self._send_alone(self._audio, frame)
        finally:
            self._queued -= 1

    # A frame by itself.

    async def _send_alone(self, lane: _Lane, frame: InputFrame) -> bool:
        command = commands.Send(frame.frame_id, frame.media, frame.size_bytes)
        while True:
            async with lane.operation:
                if (decided := self._decide(command)) is not None:
                    if isinstance(decided[-1], records.BackpressureApplied):
                        self._gate(frame, decided)
                        return False
                    await self._operate(command, frame, decided)
                    return True
            await self._wait_for_the_gate()

    def _decide(self, command: commands.Send) -> Records | None:
        """What becomes of the frame; None: it waits until the gate takes frames again."""
        try:
            return self._operations.decide(command)
        except GateOverflow:
            if self._operations.state.limits.policy is GatePolicy.BLOCK:
                return None
            raise

    def _operate(
        self, command: commands.Send | commands.Release, frame: InputFrame, intent: Records | None = None
    ) -> Coroutine[Any, Any, None]:
        async def hand_over(_: Call) -> None:
            async with self._wire:
                self._operations.require_connection()
                await self._adapter.send(frame)

        return self._operations.operate(
            command,
            hand_over,
            lambda op_id, _: commands.Done(op_id),
            deadline_s=self._operations.deadlines.send_s,
            intent=intent,
        )

    # Audio in a window.

    async def _send_in_window(self, frame: AudioFrame) -> bool:
        operations = self._operations
        while True:
            operations.pay()
            if not operations.flows:
                decided = self._decide(commands.Send(frame.frame_id, frame.media, frame.size_bytes))
                if decided is not None:
                    self._gate(frame, decided)
                    return False
                await self._wait_for_the_gate()
                continue
            if (flow := await self._window.usable()) is None:
                continue
            async with self._wire:
                if flow is self._window.flow and operations.flows:
                    await self._window.hand_over(flow, frame)
                    return True

    async def _finish_in_turn(self, flow: AudioFlow, frame: AudioFrame, rest: Rest[None]) -> None:
        """The frame went past the queue because nobody was in it; now whoever comes waits behind it."""
        self._queued += 1
        try:
            async with self._audio.order, self._wire:  # both are free, so nothing is awaited here
                await self._window.finish(flow, frame, rest)
        finally:
            self._queued -= 1

    # The gate.

    def _gate(self, frame: InputFrame, decided: Records) -> None:
        self._operations.commit(decided)
        for record in decided:
            if isinstance(record, records.InputDropped):
                del self._gated[record.frame_id]
        self._gated[frame.frame_id] = frame
        self.release()

    async def _wait_for_the_gate(self) -> None:
        self._gate_moved.clear()
        await self._gate_moved.wait()

    def release(self) -> asyncio.Task[None] | None:
        """Let the frames that wait follow, if they may; that goes on whoever stops waiting for it."""
        self._gate_moved.set()
        if not self._operations.state.releases:
            return None
        if self._releasing is None:
            name = f"release {self._operations.state.session_id}"
            self._releasing = asyncio.create_task(self._release(), name=name)
            self._releasing.add_done_callback(observe)
        return self._releasing

    async def _release(self) -> None:
        """Oldest first, one at a time. A frame that fails has had its fate; the next one follows.

        That the journal itself failed, the next sender hears.
        """
        try:
            while self._operations.state.releases:
                frame = self._gated[self._operations.state.gated[0].frame_id]
                with contextlib.suppress(ProviderError):
                    if isinstance(frame, AudioFrame) and self._in_windows:
                        await self._release_in_window(frame)
                    else:
                        await self._release_alone(frame)
                self._gate_moved.set()
        finally:
            self._releasing = None

    async def _release_alone(self, frame: InputFrame) -> None:
        lane = self._audio if isinstance(frame, AudioFrame) else self._other
        async with lane.operation:
            if self._is_next(frame):
                try:
                    await self._operate(commands.Release(), frame)
                finally:
                    self._forget_released(frame)

    async def _release_in_window(self, frame: AudioFrame) -> None:
        if (flow := await self._window.usable()) is None:
            return
        async with self._wire:
            if flow is self._window.flow and self._is_next(frame):
                self._operations.commit(self._operations.decide(commands.Release()))
                self._forget_released(frame)
                await self._window.hand_over(flow, frame)

    def _is_next(self, frame: InputFrame) -> bool:
        state = self._operations.state
        return state.releases and state.gated[0].frame_id == frame.frame_id

    def _forget_released(self, frame: InputFrame) -> None:
        if not self._is_next(frame):
            self._gated.pop(frame.frame_id, None)

    def give_up(self, reason: Reason) -> None:
        """Nobody waits for the frame on the wire any more."""
        self._window.give_up(reason)

    def clear(self) -> None:
        """The session is over: nothing waits any more."""
        self._gated.clear()
        self._gate_moved.set()

    async def idle(self) -> None:
        """Return once no frame is being released."""
        if self._releasing is not None:
            await asyncio.wait([self._releasing])
