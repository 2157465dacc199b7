"""Provider events on their way to the application: in windows, or one receive at a time."""

import contextlib
from collections import Counter

from agentfield_journal import JournalError
from agentfield_rt.controller.calls import Call
from agentfield_rt.controller.flow import Direction, Flow
from agentfield_rt.controller.operations import Operations, failure
from agentfield_rt.controller.window import Tally, Windows
from agentfield_rt.core import commands
from agentfield_rt.core.delivery import event_name, is_late, is_mark
from agentfield_rt.core.lifecycle import COMMANDS, OperationName
from agentfield_rt.core.state import State
from agentfield_rt.errors import IllegalCommand, ProviderError
from agentfield_rt.frames import OutputAudio, ProviderEvent, ResponseEnded, ResponseStarted
from agentfield_rt.idle import Lock
from agentfield_rt.ports import ProviderAdapter

Events = tuple[ProviderEvent, ...]
_AUDIO = OutputAudio.__name__


class _Count:
    """What came in one operation."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        self.audio = Tally()
        self.started: list[str] = []
        self.ended: list[str] = []
        self.marked = False
        self.total = 0

    def take(self, state: State, events: Events) -> Events:
        """Count `events` and return those that are delivered: not the output of interrupted responses."""
        delivered: list[ProviderEvent] = []
        for event in events:
            if is_late(event, state):
                self.late[event.response_id] += 1
                continue
            delivered.append(event)
            if isinstance(event, OutputAudio):  # most events are
                self.events[_AUDIO] += 1
                self.audio.add(event.pcm)
            else:
                self.events[event_name(event)] += 1
                self._note(event)
        self.total += len(events)
        return tuple(delivered)

    def _note(self, event: ProviderEvent) -> None:
        match event:
            case ResponseStarted():
                self.started.append(event.response_id)
            case ResponseEnded():
                self.ended.append(event.response_id)
            case _:
                pass
        self.marked = self.marked or is_mark(event)

    def outcome(self, op_id: str, renew: int = 0) -> commands.Received:
        return commands.Received(
            op_id,
            events=dict(self.events),
            audio=self.audio.total() if self.audio.frames else None,
            started=tuple(self.started),
            ended=tuple(self.ended),
            late=dict(self.late),
            renew=renew,
        )


class _Flow(Flow):
    """A window of events, and what came in it."""

    __slots__ = ("count",)

    def __init__(self, op_id: str, size: int) -> None:
        super().__init__(op_id, size)
        self.count = _Count()

    def outcome(self, renew: int = 0) -> commands.Received:
        return self.count.outcome(self.op_id, renew)

    def count_anew(self) -> None:
        self.count = _Count()


class Incoming(Direction[_Flow]):
    """Receives, one call of the adapter at a time."""

    def __init__(self, adapter: ProviderAdapter, operations: Operations, windows: Windows) -> None:
        super().__init__(operations, windows.period_s)
        self._adapter = adapter
        self._events_max = windows.events_max or 0
        self._turn = Lock()
        self._waits = False

    @property
    def received_total(self) -> int:
        """Events delivered, those of the open window included."""
        counted = 0 if self.flow is None else self.flow.count.events.total()
        return self._operations.state.receive_cursor + counted

    async def receive(self, demand: int) -> Events:
        """See `RealtimeSessionController.receive`."""
        async with self._turn:
            if not self._events_max:
                return await self._receive_each(demand)
            if demand < 1:
                raise IllegalCommand("a receive demands at least one event")
            while True:
                flow = self.flow
                if flow is None or flow.allowance.left <= 0:  # most receives find a window that is open
                    flow = await self.usable()
                if flow is not None:
                    return await self._receive(flow, min(demand, flow.allowance.left))

    async def _receive_each(self, demand: int) -> Events:
        count = _Count()
        delivered: Events = ()

        def received(op_id: str, events: Events) -> commands.Received:
            nonlocal delivered
            delivered = self._take(count, events)
            return count.outcome(op_id)

        await self._operations.operate(
            commands.Receive(demand), lambda _: self._adapter.receive(demand=demand), received
        )
        return delivered

    async def _open(self) -> None:
        async def begin(call: Call) -> None:
            self.flow = _Flow(call.op_id, self._events_max)

        await self._operations.operate(commands.Receive(self._events_max), begin, lambda _, __: None)

    async def _receive(self, flow: _Flow, demand: int) -> Events:
        operations = self._operations
        generation = operations.state.generation
        call = operations.calls.begin(flow.op_id, listens=True)
        if operations.state.phase not in COMMANDS[commands.Receive]:  # what had come before the loss is here
            call.lose_connection(operations.deadlines.settle_s)
        self._waits = True
        try:
            with call:
                events = await self._adapter.receive(demand=demand)
        except BaseException as error:
            told = self._failed(flow, error, call, generation)
            if told is error:
                raise
            raise told from error
        finally:
            self._waits = False
            operations.calls.end(call)
        return self._received(flow, events)

    def _received(self, flow: _Flow, events: Events) -> Events:
        try:
            self._operations.require_open(flow.op_id)
        except ProviderError:
            self._forget(flow)
            raise
        count = flow.count
        delivered = self._take(count, events)
        flow.allowance.spend(len(events))
        ends = count.marked or (count.late and self._is_interrupting)
        if ends or count.total * 2 >= flow.size:
            # What cannot be written is owed; what came is given to the caller all the same.
            with contextlib.suppress(JournalError):
                if ends:
                    self._close(flow)
                else:
                    self._renew(flow)
        if flow is self.flow and flow.period is None:
            self._watch(flow)
        return delivered

    def _take(self, count: _Count, events: Events) -> Events:
        delivered = count.take(self._operations.state, events)
        if (tap := self._operations.tap) is not None:
            for event in delivered:
                if isinstance(event, OutputAudio):
                    tap.received(event)
        return delivered

    @property
    def _is_interrupting(self) -> bool:
        """What is late now may not be a moment later: the response goes on if this comes to nothing."""
        return self._operations.state.open_named(OperationName.INTERRUPT) is not None

    def _failed(self, flow: _Flow, error: BaseException, call: Call, generation: int) -> BaseException:
        if flow.count.total:
            with contextlib.suppress(JournalError):
                self._close(flow)
        self._forget(flow)
        how = failure(error, call, called=True)
        return self._operations.failed(flow.op_id, error, how, generation=generation)

    def cut(self) -> None:
        """Write down what came. A call that waits goes on under a new intent, in the same batch."""
        flow = self.flow
        if flow is None:
            return
        if not self._waits:
            self._close(flow)
        elif flow.count.total and self._operations.state.phase in COMMANDS[commands.Receive]:
            self._renew(flow)

    def give_up(self) -> None:
        """Nobody waits for the call under way any more; what came before is written down."""
        flow = self.flow
        if flow is not None and flow.count.total:
            self._close(flow)

    def _tend(self, flow: _Flow) -> None:
        if flow.count.total:  # an idle window needs no watching: its receive waits, or it is closed now
            self._watch(flow)
        self.cut()
