"""Audio on its way to the provider, in windows: once one is open, no frame waits for the disk."""

import contextlib

from agentfield_journal import JournalError
from agentfield_rt.controller.calls import Call, Rest, first_step
from agentfield_rt.controller.flow import Direction, Flow
from agentfield_rt.controller.operations import Operations, failure
from agentfield_rt.controller.window import Tally, Windows
from agentfield_rt.core import commands
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import AudioFrame
from agentfield_rt.idle import Lock
from agentfield_rt.ports import ProviderAdapter


class AudioFlow(Flow):
    """A window of frames.

    Attributes:
        generation: The connection they go to.
        on_wire: A frame is being handed over; only it can say how the window ends.
        cut: The window ends with the frame on the wire.
    """

    __slots__ = ("cut", "generation", "on_wire", "tally")

    def __init__(self, op_id: str, size: int, generation: int) -> None:
        super().__init__(op_id, size)
        self.generation = generation
        self.tally = Tally()
        self.on_wire = False
        self.cut = False

    def outcome(self, renew: int = 0) -> commands.Flowed:
        return commands.Flowed(self.op_id, self.tally.total(), renew=renew)

    def count_anew(self) -> None:
        self.tally = Tally()


class OutgoingAudio(Direction[AudioFlow]):
    """Hands frames over. Whoever calls sees to their order, and that one is on the wire at a time."""

    def __init__(self, adapter: ProviderAdapter, operations: Operations, windows: Windows) -> None:
        super().__init__(operations, windows.period_s)
        self._adapter = adapter
        self._frames_max = windows.frames_max
        self._opening = Lock()

    @property
    def unrecorded(self) -> int:
        """Frames the provider took in the open window."""
        return 0 if self.flow is None else self.flow.tally.frames

    @property
    def ready(self) -> AudioFlow | None:
        """The open window, if a frame may go through it at once."""
        flow = self.flow
        if flow is None or flow.on_wire or flow.allowance.left <= 0:
            return None
        return flow if self._operations.flows else None

    async def _open(self) -> None:
        async def begin(call: Call) -> None:
            self._operations.require_connection()
            self.flow = flow = AudioFlow(call.op_id, self._frames_max, self._operations.state.generation)
            self._watch(flow)

        # The one that a restart overtook is settled before the next is asked for.
        async with self._opening:
            with contextlib.suppress(ProviderError):  # no connection: the frame waits behind the gate
                command = commands.OpenWindow(self._frames_max)
                await self._operations.operate(command, begin, lambda _, __: None)

    async def hand_over(self, flow: AudioFlow, frame: AudioFrame) -> None:
        if (rest := self.begin(flow, frame)) is not None:
            await self.finish(flow, frame, rest)

    def begin(self, flow: AudioFlow, frame: AudioFrame) -> Rest[None] | None:
        """Give the adapter a frame. None: it took it at once, as most do; otherwise what is left to await."""
        flow.on_wire = True
        try:
            if (rest := first_step(self._adapter.send(frame))) is None:
                self._sent(flow, frame)
            return rest
        except BaseException as error:
            flow.on_wire = False
            told = self._failed(flow, error, None)
            if told is error:
                raise
            raise told from error

    async def finish(self, flow: AudioFlow, frame: AudioFrame, rest: Rest[None]) -> None:
        call = self._operations.calls.begin(flow.op_id)
        try:
            with call:
                call.allow(self._operations.deadlines.send_s)
                await rest
            self._require_current(flow)
            self._sent(flow, frame)
        except BaseException as error:
            told = self._failed(flow, error, call)
            if told is error:
                raise
            raise told from error
        finally:
            flow.on_wire = False
            self._operations.calls.end(call)

    def _require_current(self, flow: AudioFlow) -> None:
        """What may have happened while the frame was on the wire."""
        self._operations.require_open(flow.op_id)
        # It went to a connection that has been replaced since: nobody knows if it was heard.
        if flow.generation != self._operations.state.generation:
            raise ProviderError("the connection was replaced", reason=Reason.SUPERSEDED, not_done=False)

    def _sent(self, flow: AudioFlow, frame: AudioFrame) -> None:
        flow.on_wire = False
        flow.tally.add(frame.pcm)
        flow.allowance.left -= 1
        if (tap := self._operations.tap) is not None:
            tap.sent(frame)
        if flow.cut:
            self._close(flow)
        elif flow.tally.frames * 2 >= flow.size:
            with contextlib.suppress(JournalError):  # there is room until the allowance is spent
                self._renew(flow)

    def _failed(self, flow: AudioFlow, error: BaseException, call: Call | None) -> BaseException:
        """The frame ends its window, with what flowed before it."""
        self._forget(flow)
        window = flow.tally.total() if flow.tally.frames else None
        how = failure(error, call, called=True)
        return self._operations.failed(flow.op_id, error, how, generation=flow.generation, window=window)

    def cut(self) -> None:
        """End the window with what flowed. A frame on the wire ends it once its fate is known."""
        flow = self.flow
        if flow is None:
            return
        if flow.on_wire:
            flow.cut = True
        else:
            self._close(flow)

    def give_up(self, reason: Reason) -> None:
        """Nobody waits for the frame on the wire any more; what flowed before it is certain."""
        flow = self.flow
        if flow is not None:
            self._forget(flow)
            window = flow.tally.total() if flow.tally.frames else None
            self._operations.settle(flow.op_id, reason, unknown=True, window=window)

    def _tend(self, flow: AudioFlow) -> None:
        self._watch(flow)
        if flow.on_wire:
            return
        if flow.tally.frames:
            self._renew(flow)
        else:
            self._close(flow)
