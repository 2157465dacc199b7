"""Interrupts, and what overlaps, is cancelled, restarted or closed on openai/websocket."""

import asyncio
import contextlib
from http import HTTPStatus
from typing import Any

import pytest

from agentfield_adapters.openai import (
    interruption,
)
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    AudioFrame,
    OutputTranscript,
    OutputTruncated,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
)
from tests.adapters import peer as wire
from tests.adapters.peer import Peer, both
from tests.adapters.websocket_line import MS, REQUEST, Line, adapter_for, greeted, speaking

# Interrupting


@pytest.mark.asyncio
async def test_an_interrupt_cancels_then_cuts_to_what_was_heard(line: Line) -> None:
    await speaking(line, ms=500)
    await line.socket.give(wire.audio("r", MS * 100), wire.words("r", "late words"))

    async def provider() -> dict[str, Any]:
        cancel = await line.socket.take("response.cancel")
        await line.socket.give(wire.audio("r", MS * 100), wire.done("r", "cancelled"))
        cut = await line.socket.take("conversation.item.truncate")
        answer = {"type": "conversation.item.truncated", "item_id": "item_1", "audio_end_ms": 320}
        await line.socket.give(answer)
        assert cancel["response_id"] == "r"
        return cut

    _, cut = await both(line.adapter.interrupt("r", heard_ms=320), provider())
    assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("item_1", 0, 320)
    assert await line.next(3) == [
        OutputTranscript("r", "item_1", "late words"),
        ResponseEnded("r", ResponseStatus.CANCELLED),
        OutputTruncated("item_1", 320),
    ]


@pytest.mark.asyncio
async def test_what_plays_on_after_the_end_is_cut_without_a_cancel(line: Line) -> None:
    await speaking(line, ms=500, ended=True)

    async def provider() -> None:
        cut = await line.socket.take("conversation.item.truncate")
        await line.socket.give(wire.error(None, event_id=cut["event_id"], message="already shorter than"))

    await both(line.adapter.interrupt("r", heard_ms=320), provider())
    await line.adapter.interrupt("r", heard_ms=320)
    await line.socket.takes_nothing()


@pytest.mark.asyncio
async def test_a_response_heard_to_its_end_needs_no_cut(line: Line) -> None:
    await speaking(line, ms=500, ended=True)
    await line.adapter.interrupt("r", heard_ms=700)
    await line.adapter.interrupt("r", heard_ms=None)
    await line.socket.takes_nothing()


@pytest.mark.asyncio
async def test_an_item_nobody_heard_is_removed(line: Line) -> None:
    await speaking(line, ms=500, ended=True)

    async def provider() -> None:
        await line.socket.take("conversation.item.delete")
        await line.socket.give({"type": "conversation.item.deleted", "item_id": "item_1"})

    await both(line.adapter.interrupt("r", heard_ms=0), provider())
    assert await line.next() == [OutputTruncated("item_1", 0)]


@pytest.mark.asyncio
async def test_a_cancel_that_came_too_late_is_no_failure(line: Line) -> None:
    await speaking(line, ms=20)

    async def provider() -> None:
        cancel = await line.socket.take("response.cancel")
        await line.socket.give(
            wire.done("r"), wire.error("response_cancel_not_active", event_id=cancel["event_id"])
        )

    await both(line.adapter.interrupt("r", heard_ms=None), provider())


@pytest.mark.asyncio
async def test_an_interrupt_without_confirmation_has_an_unknown_outcome(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "CONFIRM_S", 0.05)
    await speaking(line, ms=20)
    with pytest.raises(ProviderError) as raised:
        await line.adapter.interrupt("r", heard_ms=0)
    assert (raised.value.reason, raised.value.not_done) == (Reason.TIMEOUT, False)
    await line.adapter.send(TextFrame("f", "still here"))


@pytest.mark.asyncio
async def test_an_unknown_response_cannot_be_interrupted(line: Line) -> None:
    with pytest.raises(ProviderError) as raised:
        await line.adapter.interrupt("other", heard_ms=0)
    assert raised.value.reason is Reason.NOT_FOUND


# Overlap, cancellation, restart, close


@pytest.mark.asyncio
async def test_sends_receives_and_interrupts_overlap(line: Line) -> None:
    """The provider answers each frame it hears; two interrupts of the same response run into each other."""
    await line.socket.give(wire.created("r"))
    await line.next()

    async def provider() -> int:
        heard = 0
        while heard < 200:
            await line.socket.take("input_audio_buffer.append")
            heard += 1
            await line.socket.give(wire.audio("r", MS * 20))
        for _ in range(2):
            await line.socket.take("response.cancel")
        await line.socket.give(wire.done("r", "cancelled"))
        for _ in range(2):
            await line.socket.take("conversation.item.truncate")
        await line.socket.give(
            {"type": "conversation.item.truncated", "item_id": "item_1", "audio_end_ms": 60}
        )
        return heard

    async def caller() -> None:
        for number in range(200):
            await line.adapter.send(AudioFrame(f"f{number}", MS * 20))
        await asyncio.gather(
            line.adapter.interrupt("r", heard_ms=100), line.adapter.interrupt("r", heard_ms=60)
        )

    receiving = asyncio.create_task(line.lost())
    await both(provider(), caller())
    await line.adapter.close(CloseReason.NORMAL)
    assert not (await receiving).retryable


@pytest.mark.asyncio
async def test_a_cancelled_connect_leaves_no_socket(peer: Peer) -> None:
    adapter = adapter_for(peer)
    connecting = asyncio.create_task(adapter.connect(REQUEST))
    socket = await peer.accept()
    await socket.give({"type": "session.created"})
    await socket.take("session.update")
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await socket.gone()
    _, socket = await both(adapter.connect(REQUEST), greeted(peer))
    await adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_cancelled_receive_loses_nothing(line: Line) -> None:
    texts: list[str] = []

    def note(received: list[ProviderEvent] | tuple[ProviderEvent, ...]) -> None:
        texts.extend(event.text for event in received if isinstance(event, OutputTranscript))

    for number in range(20):
        receiving = asyncio.create_task(line.adapter.receive(demand=1))
        await line.socket.give(wire.words("r", str(number)))
        for _ in range(number):  # cancel before, while and after the event arrives
            await asyncio.sleep(0)
        receiving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            note(await receiving)
    async with asyncio.timeout(5):
        while len(texts) < 20:
            note(await line.adapter.receive(demand=100))
    assert texts == [str(number) for number in range(20)]


@pytest.mark.asyncio
async def test_a_send_cancelled_while_the_socket_is_full_takes_no_request_with_it(line: Line) -> None:
    line.socket.play_dead()

    async def fill() -> None:
        while True:
            await line.adapter.send(AudioFrame("f", bytes(1_000_000)))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await fill()
    speaking = asyncio.create_task(line.adapter.send(SpeechFrame("f1", "u1", text="hello")))
    await asyncio.wait([speaking], timeout=0.05)
    assert not speaking.done()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    line.socket.wake()
    while (event := await line.socket.take_any())["type"] == "input_audio_buffer.append":
        pass
    assert event["response"]["metadata"]["utterance_id"] == "u1"


@pytest.mark.asyncio
async def test_a_cancelled_interrupt_leaves_the_connection_usable(line: Line) -> None:
    await speaking(line, ms=20)
    interrupting = asyncio.create_task(line.adapter.interrupt("r", heard_ms=10))
    await line.socket.take("response.cancel")
    interrupting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await interrupting
    await line.socket.give(wire.done("r", "cancelled"))
    assert await line.next() == [ResponseEnded("r", ResponseStatus.CANCELLED)]


@pytest.mark.asyncio
async def test_a_restart_hands_out_what_was_received_and_then_the_new_connection(
    line: Line, peer: Peer
) -> None:
    await line.socket.give(wire.created("r"))
    assert await line.next() == [ResponseStarted("r")]
    await line.socket.give(wire.words("r", "before"), {"type": "marker"})
    receiving = asyncio.create_task(line.next(2))
    await asyncio.wait([receiving], timeout=0.05)
    old = line.socket
    connected, line.socket = await both(line.adapter.restart(REQUEST), greeted(peer))
    assert connected.connection_id.startswith("sess_1.")
    assert await receiving == [
        OutputTranscript("r", "item_1", "before"),
        ResponseEnded("r", ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST),
    ]
    await old.gone()
    with pytest.raises(ProviderError) as raised:
        await line.adapter.interrupt("r", heard_ms=0)
    assert raised.value.reason is Reason.NOT_FOUND
    await line.socket.give(wire.created("q"))
    assert await line.next() == [ResponseStarted("q")]


@pytest.mark.asyncio
async def test_a_lost_connection_can_be_restarted_and_a_failed_restart_retried(
    line: Line, peer: Peer
) -> None:
    line.socket.reset()
    await line.lost()
    peer.status = HTTPStatus.SERVICE_UNAVAILABLE
    with pytest.raises(ProviderError) as raised:
        await line.adapter.restart(REQUEST)
    assert raised.value.retryable
    assert (await line.lost()).reason is Reason.UNAVAILABLE
    peer.status = None
    _, line.socket = await both(line.adapter.restart(REQUEST), greeted(peer))
    await line.adapter.send(TextFrame("f", "back"))
    await line.socket.take("conversation.item.create")


@pytest.mark.asyncio
async def test_a_cancelled_restart_leaves_no_socket_and_can_be_repeated(line: Line, peer: Peer) -> None:
    restarting = asyncio.create_task(line.adapter.restart(REQUEST))
    half_way = await peer.accept()
    restarting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await restarting
    await half_way.gone()
    assert (await line.lost()).reason is Reason.CANCELLED
    _, line.socket = await both(line.adapter.restart(REQUEST), greeted(peer))


@pytest.mark.asyncio
async def test_closing_wakes_everyone_and_may_be_repeated(line: Line) -> None:
    await speaking(line, ms=20)
    receiving = asyncio.create_task(line.lost())
    interrupting = asyncio.create_task(line.adapter.interrupt("r", heard_ms=0))
    await line.socket.take("response.cancel")
    await both(line.adapter.close(CloseReason.NORMAL), line.adapter.close(CloseReason.CANCEL))
    with pytest.raises(ConnectionLost):
        await interrupting
    assert not (await receiving).retryable
    assert await line.socket.gone() == 1000
    for call in (line.adapter.send(AudioFrame("f", MS)), line.adapter.restart(REQUEST)):
        with pytest.raises(ConnectionLost):
            await call


@pytest.mark.asyncio
async def test_closing_does_not_wait_for_a_provider_that_does_not_answer(line: Line) -> None:
    line.socket.play_dead()
    async with asyncio.timeout(2):
        await line.adapter.close(CloseReason.NORMAL)


@pytest.mark.asyncio
async def test_a_cancelled_close_lets_go_of_the_socket(line: Line) -> None:
    line.socket.play_dead()
    closing = asyncio.create_task(line.adapter.close(CloseReason.NORMAL))
    await asyncio.wait([closing], timeout=0.05)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    line.socket.wake()
    await line.socket.gone()


@pytest.mark.asyncio
async def test_closing_while_connecting_ends_the_connecting(peer: Peer) -> None:
    adapter = adapter_for(peer)
    connecting = asyncio.create_task(adapter.connect(REQUEST))
    socket = await peer.accept()
    await adapter.close(CloseReason.CANCEL)
    async with asyncio.timeout(2):
        with pytest.raises(ProviderError, match="closed"):
            await connecting
    await socket.gone()


@pytest.mark.asyncio
async def test_an_adapter_that_was_never_connected_can_be_closed(peer: Peer) -> None:
    adapter = adapter_for(peer)
    await adapter.close(CloseReason.NORMAL)
    with pytest.raises(ProviderError):
        await adapter.connect(REQUEST)
