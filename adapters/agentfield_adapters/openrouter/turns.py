"""One session's turns: what is heard, what is asked, and the one answer at a time. What a restart replaces.

What an answer means is decided in `answer`; here is only time: order, deadlines and the end.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from agentfield_adapters.event_buffer import fresh
from agentfield_adapters.malformed import Patience
from agentfield_adapters.openrouter.answer import MALFORMED, Answer
from agentfield_adapters.openrouter.event_source import EventSource
from agentfield_adapters.openrouter.failures import TurnFailed
from agentfield_adapters.openrouter.line import Line
from agentfield_adapters.openrouter.requests import Wanted, request_body
from agentfield_rt.errors import ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    Notice,
    OutputAudio,
    OutputTruncated,
    ProviderEvent,
    ResponseStarted,
    ResponseStatus,
)

WAITING_MAX = 32
FIRST_PIECE_S = 30.0
"""How long a model may think; comments that keep the connection alive do not count."""
NEXT_PIECE_S = 15.0
LINGER_S = 2.0
"""How long what follows the end of an answer, such as its costs, is waited for."""
STOP_S = 2.0


@dataclass(slots=True, eq=False)
class _Turn:
    """An answer that is asked for; `taken` is told what became of the request, if anybody still waits."""

    wanted: Wanted
    taken: asyncio.Future[ProviderError | None]
    response_id: str
    answer: Answer | None = None
    task: asyncio.Task[None] | None = None
    is_watched: bool = False


class Turns:
    """The answers of one connection.

    Args:
        line: Its buffer gets the events; `retire` leaves no response open there.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._buffer = line.buffer
        self._conversation = line.conversation
        self._waiting: deque[_Turn] = deque()
        self._current: _Turn | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._patience = Patience()
        self._not_before_s = 0.0
        self.loss: ConnectionLost | None = None

    async def ask(self, wanted: Wanted) -> None:
        """Ask for an answer; returns when the socket took the request, or it waits for the one before.

        A cancelled call takes no request back.

        Raises:
            ProviderError: the request was not made, or, with `not_done` false, perhaps it was.
            ConnectionLost: the connection is gone.
        """
        self._require_peace()
        turn = self.offer(wanted)
        if turn is not self._current:
            return
        turn.is_watched = True
        try:
            failure = await asyncio.shield(turn.taken)
        finally:
            turn.is_watched = False
        if failure is not None:
            raise failure

    def require_room(self) -> None:
        """Refuse a request before anything of it happens.

        Raises:
            ProviderError: too many wait already.
            ConnectionLost: the connection is gone.
        """
        if self.loss is not None:
            raise fresh(self.loss)
        if len(self._waiting) >= WAITING_MAX:
            raise ProviderError(
                f"{WAITING_MAX} answers wait for the one that is running; interrupt it or wait",
                reason=Reason.RATE_LIMITED,
                retryable=True,
            )

    def offer(self, wanted: Wanted) -> _Turn:
        """Ask without waiting: whatever becomes of it is told by events.

        Raises:
            ProviderError, ConnectionLost: as `require_room`.
        """
        self.require_room()
        taken = asyncio.get_running_loop().create_future()
        turn = _Turn(wanted, taken, self._conversation.new_id("resp"))
        self._waiting.append(turn)
        self._go_on()
        return turn

    def stop(self) -> None:
        """The user speaks: stop generating. What was generated goes on playing until it is interrupted."""
        turn = self._current
        if turn is not None and turn.answer is not None:
            self._cancel(turn, ResponseStatus.CANCELLED)

    async def interrupt(self, response_id: str, *, heard_ms: int | None) -> None:
        """Stop a response and make the conversation forget what of it was not heard.

        Raises:
            ProviderError: there is no such response.
        """
        said = self._conversation.response(response_id)
        if said is None:
            raise ProviderError("no such response in this conversation", reason=Reason.NOT_FOUND)
        self._buffer.discard(
            lambda event: isinstance(event, OutputAudio) and event.response_id == response_id
        )
        turn = self._current
        if turn is not None and turn.response_id == response_id:
            self._cancel(turn, ResponseStatus.CANCELLED)
        kept_ms = said.cut(heard_ms)
        if said.audio_bytes:
            self._buffer.append(OutputTruncated(said.item_id, kept_ms))
        await self.settle()

    async def settle(self) -> None:
        """Wait until what was cancelled has closed its response, 2 s at most."""
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=STOP_S)

    def retire(self, loss: ConnectionLost) -> None:
        """Answer nothing more: the open response ends here, what waits is forgotten."""
        if self.loss is not None:
            return
        self.loss = loss
        for turn in self._waiting:
            _tell(turn, fresh(loss))
        self._waiting.clear()
        if self._current is not None:
            _tell(self._current, fresh(loss))
            self._cancel(self._current, ResponseStatus.INCOMPLETE)

    def _go_on(self) -> None:
        """Begin the next answer, if none is running."""
        if self._current is None and self._waiting and self.loss is None:
            turn = self._current = self._waiting.popleft()
            turn.task = asyncio.create_task(self._run(turn), name=f"answer {turn.response_id}")

    async def _run(self, turn: _Turn) -> None:
        try:
            self._require_peace()
            await self._take(turn)
        except ProviderError as failure:
            self._failed(turn, failure)
        finally:
            if self._current is turn:
                self._current = None
            self._go_on()

    async def _take(self, turn: _Turn) -> None:
        """One request, from its first byte to the last of its answer.

        Raises:
            ProviderError: it came to nothing, or to less than it should.
        """

        def taken() -> None:
            self._taken(turn, watchdog)

        body = request_body(turn.wanted, self._line)
        try:
            async with asyncio.timeout(None) as watchdog:
                async with self._line.client.completion(body, taken=taken) as stream:
                    answer = self._taken(turn, watchdog)
                    source = EventSource()
                    async for piece in stream:
                        await self._give(answer, source.feed(piece), watchdog)
                        if answer.is_over:
                            return
                    await self._give(answer, source.finish(), watchdog)
                    if answer.is_over:
                        return
                    if not (answer.has_finished or answer.has_output):
                        raise TurnFailed(
                            "the provider's answer ended before it began",
                            reason=Reason.CONNECTION_LOST,
                            not_done=False,
                        )
                    self._append(answer.cut_off())
        except TimeoutError:
            answer = self._taken(turn)
            if answer.has_finished:
                self._append(answer.cut_off())
                return
            raise TurnFailed(
                "the provider's answer stopped coming", reason=Reason.TIMEOUT, not_done=False
            ) from None

    async def _give(self, answer: Answer, events: list[bytes], watchdog: asyncio.Timeout) -> None:
        """Pass on what came, at the pace at which it is received."""
        for data in events:
            meaning = answer.react(self._line.client.without_key(data))
            self._append(meaning)
            if MALFORMED in meaning and (loss := self._patience.wear(asyncio.get_running_loop().time())):
                raise TurnFailed(str(loss), reason=loss.reason, not_done=False, is_fatal=True)
        now_s = asyncio.get_running_loop().time()
        left_s = (watchdog.when() or now_s) - now_s
        if events:
            left_s = LINGER_S if answer.has_finished else NEXT_PIECE_S
        watchdog.reschedule(None)  # how long the runtime takes is not the provider's fault
        await self._buffer.room()
        watchdog.reschedule(asyncio.get_running_loop().time() + left_s)

    def _taken(self, turn: _Turn, watchdog: asyncio.Timeout | None = None) -> Answer:
        """The request is out: from here on the response exists."""
        if turn.answer is None:
            turn.answer = Answer(self._conversation.begin(turn.response_id))
            self._buffer.append(ResponseStarted(turn.response_id, turn.wanted.utterance_id))
            _tell(turn, None)
            if watchdog is not None:
                watchdog.reschedule(asyncio.get_running_loop().time() + FIRST_PIECE_S)
        return turn.answer

    def _failed(self, turn: _Turn, failure: ProviderError) -> None:
        """Whoever waits for the request is told; anybody else learns it as of any other response."""
        if turn.answer is None and turn.is_watched:
            _tell(turn, failure)
        else:
            answer = self._taken(turn)
            if not answer.is_over:
                self._buffer.append(Notice("error", failure.reason.value))
            status = ResponseStatus.INCOMPLETE if answer.has_output else ResponseStatus.FAILED
            self._append(answer.end(status))
        if not isinstance(failure, TurnFailed):
            return
        if failure.retry_after_s:
            self._not_before_s = asyncio.get_running_loop().time() + failure.retry_after_s
        if failure.is_fatal:
            self._current = None  # this task ends by itself
            loss = ConnectionLost(str(failure), reason=failure.reason, retryable=False)
            self.retire(loss)
            self._buffer.end(loss)

    def _cancel(self, turn: _Turn, status: ResponseStatus) -> None:
        """Close the response's connection, which is how a server learns that nobody wants the rest."""
        if turn.answer is not None:
            self._append(turn.answer.end(status))
        task = turn.task
        if task is not None and not task.done():
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            task.cancel()

    def _require_peace(self) -> None:
        left_s = self._not_before_s - asyncio.get_running_loop().time()
        if left_s > 0:
            raise ProviderError(
                f"the provider wants to be left alone for another {left_s:.0f} s",
                reason=Reason.RATE_LIMITED,
                retryable=True,
            )

    def _append(self, events: list[ProviderEvent]) -> None:
        for event in events:
            self._buffer.append(event)


def _tell(turn: _Turn, failure: ProviderError | None) -> None:
    if not turn.taken.done():
        turn.taken.set_result(failure)
