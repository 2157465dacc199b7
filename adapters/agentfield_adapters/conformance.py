"""What any provider adapter must do, as a function an author runs against theirs. Knows only the port.

It needs a provider that speaks a short text when asked to. Faults, overlap and lost connections are for the
author's own tests: only they know how to make their provider fail.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError
from agentfield_rt.frames import (
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    SpeechFrame,
    TextFrame,
    ToolResultFrame,
)
from agentfield_rt.items import AssistantItem, History, NoteItem, ToolCallItem, ToolOutputItem, UserItem
from agentfield_rt.ports import ConnectRequest, ProviderAdapter

HISTORY = History(
    items=(
        UserItem("history-1", "hello"),
        ToolCallItem("call_history-2", "history-2", "look_up", "{}"),
        ToolOutputItem("tool_history-2", "history-2", '"found"'),
        AssistantItem("history-a", "Hello, I found"),
        NoteItem("history-n", "The caller is in a hurry."),
        ToolCallItem("call_history-3", "history-3", "look_up", "{}"),
    )
)
ANSWER_S = 15.0
CLOSE_S = 3.0


async def check_adapter(
    make_adapter: Callable[[], ProviderAdapter], make_request: Callable[[], Awaitable[ConnectRequest]]
) -> None:
    """Take one session through its life.

    Args:
        make_adapter: A new adapter for the same provider.
        make_request: What to connect with; a new one for each connection, since an SDP offer serves once.

    Raises:
        AssertionError: the adapter broke the port's contract; the message says how.
    """
    await _check_before_connecting(make_adapter())
    adapter = make_adapter()
    try:
        first = await adapter.connect(await make_request())
        await _check_speech(adapter, "conformance-1")
        await _check_cancelled_receive(adapter, "conformance-2")
        second = await adapter.restart(await make_request())
        assert second.connection_id != first.connection_id, "a restart made a connection with an old id"
        await _check_speech(adapter, "conformance-3")
        await _check_interrupt(adapter)
        await _check_history(adapter, await make_request())
        await _check_owed_answer(adapter, await make_request())
    finally:
        await _close(adapter)
    await _check_closed(adapter, await make_request())


async def _check_before_connecting(adapter: ProviderAdapter) -> None:
    try:
        await adapter.send(TextFrame("conformance-0", "hello"))
    except ProviderError as error:
        assert error.not_done, "a send before connect must say that nothing was done"
    else:
        raise AssertionError("a send before connect was taken")
    await _close(adapter)


async def _check_speech(adapter: ProviderAdapter, utterance_id: str) -> None:
    """One speech is one response, started and ended once, and it says which utterance it is."""
    await adapter.send(SpeechFrame(f"{utterance_id}-frame", utterance_id, text="hello"))
    events = await _until_ended(adapter)
    started = [event for event in events if isinstance(event, ResponseStarted)]
    ended = [event for event in events if isinstance(event, ResponseEnded)]
    assert [event.utterance_id for event in started] == [utterance_id], "a response must name its utterance"
    assert [event.response_id for event in ended] == [started[0].response_id], "a response must end once"


async def _check_cancelled_receive(adapter: ProviderAdapter, utterance_id: str) -> None:
    """However often a receive is cancelled, no event is lost."""
    await adapter.send(SpeechFrame(f"{utterance_id}-frame", utterance_id, text="hello"))
    events: list[ProviderEvent] = []
    async with asyncio.timeout(ANSWER_S):
        while not any(isinstance(event, ResponseEnded) for event in events):
            receiving = asyncio.create_task(adapter.receive(demand=1))
            await asyncio.sleep(0)
            receiving.cancel()
            await asyncio.wait([receiving])
            if not receiving.cancelled():
                events += receiving.result()
            else:
                events += await adapter.receive(demand=1)
    assert any(isinstance(event, ResponseStarted) for event in events), "a cancelled receive lost an event"


async def _check_interrupt(adapter: ProviderAdapter) -> None:
    """A response that is over may be interrupted: the caller may still be hearing it."""
    await adapter.send(SpeechFrame("conformance-4-frame", "conformance-4", text="hello"))
    events = await _until_ended(adapter)
    response_id = next(event.response_id for event in events if isinstance(event, ResponseStarted))
    async with asyncio.timeout(ANSWER_S):
        await adapter.interrupt(response_id, heard_ms=0)


async def _check_history(adapter: ProviderAdapter, request: ConnectRequest) -> None:
    """A new connection knows what was said, and answers none of it; a call that waits takes its output."""
    connection = await adapter.restart(replace(request, history=HISTORY))
    if connection.restored is None:
        return  # this provider cannot be told
    assert connection.restored == len(HISTORY.items), "an item of the history was not taken"
    await _check_speech(adapter, "conformance-5")  # an answer to the history would come first
    for frame in (TextFrame("history-1", "hello"), ToolResultFrame("tool_history-2", "history-2", "{}")):
        await adapter.send(frame)  # the history has them: they are taken, and come to nothing
    await _check_speech(adapter, "conformance-6")
    await adapter.send(ToolResultFrame("tool_history-3", "history-3", "{}"))
    await _check_own_answer(adapter, "the output of a call in the history")


async def _check_owed_answer(adapter: ProviderAdapter, request: ConnectRequest) -> None:
    """An answer that is owed is given once, and is nobody's utterance."""
    owed = History(items=HISTORY.items[:3], answer_owed=True)
    connection = await adapter.restart(replace(request, history=owed))
    if connection.restored is None:
        return
    await _check_own_answer(adapter, "a history whose answer is owed")
    await _check_speech(adapter, "conformance-7")


async def _check_own_answer(adapter: ProviderAdapter, to: str) -> None:
    events = await _until_ended(adapter)
    started = [event.utterance_id for event in events if isinstance(event, ResponseStarted)]
    assert started == [None], f"{to} must be answered once, by the model itself"


async def _check_closed(adapter: ProviderAdapter, request: ConnectRequest) -> None:
    """A second close does nothing; nothing else works any more, and it says that trying again is no use."""
    await _close(adapter)
    for call in (adapter.send(TextFrame("conformance-5", "hello")), adapter.restart(request)):
        try:
            await call
        except ProviderError as error:
            assert not error.retryable, "a closed adapter must not invite a retry"
        else:
            raise AssertionError("a closed adapter went on")
    try:
        async with asyncio.timeout(CLOSE_S):
            while True:
                await adapter.receive(demand=100)
    except ConnectionLost as loss:
        assert not loss.retryable, "a closed adapter must not invite a retry"


async def _until_ended(adapter: ProviderAdapter) -> list[ProviderEvent]:
    events: list[ProviderEvent] = []
    async with asyncio.timeout(ANSWER_S):
        while not any(isinstance(event, ResponseEnded) for event in events):
            received = await adapter.receive(demand=2)
            assert 1 <= len(received) <= 2, "receive must return at least one event and at most demand"
            events += received
    return events


async def _close(adapter: ProviderAdapter) -> None:
    async with asyncio.timeout(CLOSE_S):
        await adapter.close(CloseReason.NORMAL)
