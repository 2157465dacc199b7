"""The reference adapter: what it answers by itself, and what a test can do to its answers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_adapters.scripted import Interruption, Outcome, ScriptedAdapter, silent
from agentfield_rt.errors import CloseReason, ConnectionLost, ProviderError, Reason
from agentfield_rt.frames import (
    AudioFrame,
    Notice,
    OutputAudio,
    OutputTranscript,
    OutputTruncated,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
)
from agentfield_rt.ports import ConnectRequest, ProviderAdapter, SessionConfig

REQUEST = ConnectRequest(session_id="s1", config=SessionConfig())


async def connected(adapter: ScriptedAdapter) -> ScriptedAdapter:
    await adapter.connect(REQUEST)
    return adapter


def test_it_is_an_adapter() -> None:
    assert isinstance(ScriptedAdapter(), ProviderAdapter)


@pytest.mark.asyncio
async def test_a_connection_in_another_process_has_another_name() -> None:
    first, second = [await ScriptedAdapter().connect(REQUEST) for _ in range(2)]
    assert first.connection_id != second.connection_id


@pytest.mark.asyncio
async def test_text_is_echoed_and_speech_carries_its_utterance() -> None:
    adapter = await connected(ScriptedAdapter())
    await adapter.send(TextFrame("f1", "hello"))
    await adapter.send(SpeechFrame("f2", "utt_1", text="welcome"))
    await adapter.send(AudioFrame("f3", bytes(960)))
    assert await adapter.receive(demand=10) == (
        ResponseStarted("resp_1"),
        OutputTranscript("resp_1", "item_resp_1", "hello"),
        ResponseEnded("resp_1", ResponseStatus.COMPLETED),
        ResponseStarted("resp_2", "utt_1"),
        OutputTranscript("resp_2", "item_resp_2", "welcome"),
        ResponseEnded("resp_2", ResponseStatus.COMPLETED),
    )


@pytest.mark.asyncio
async def test_the_script_comes_first_and_demand_bounds_what_is_received() -> None:
    notices = [Notice("a"), Notice("b"), Notice("c")]
    adapter = await connected(ScriptedAdapter(notices))
    assert await adapter.receive(demand=2) == (Notice("a"), Notice("b"))
    assert await adapter.receive(demand=2) == (Notice("c"),)


@pytest.mark.asyncio
async def test_a_held_send_has_not_happened_until_it_is_released() -> None:
    adapter = await connected(ScriptedAdapter())
    answer = adapter.hold("send")
    frame = TextFrame("f1", "hello")
    sending = asyncio.create_task(adapter.send(frame))
    await answer.wait_reached()
    assert adapter.sent == []
    answer.release()
    await sending
    assert adapter.sent == [frame]


@pytest.mark.asyncio
@pytest.mark.parametrize("not_done", [True, False])
async def test_a_failed_send_happened_only_if_its_error_leaves_that_open(not_done: bool) -> None:
    adapter = await connected(ScriptedAdapter())
    error = ProviderError("busy", reason=Reason.RATE_LIMITED, not_done=not_done)
    adapter.hold("send").fail(error)
    with pytest.raises(ProviderError) as raised:
        await adapter.send(TextFrame("f1", "hello"))
    assert raised.value is error
    assert len(adapter.sent) == (0 if not_done else 1)
    await adapter.send(TextFrame("f2", "still connected"))


@pytest.mark.asyncio
@pytest.mark.parametrize("acted", [True, False])
async def test_a_lost_send_takes_the_connection_with_it(acted: bool) -> None:
    adapter = ScriptedAdapter()
    first = await adapter.connect(REQUEST)
    adapter.hold("send").lose(acted=acted)
    with pytest.raises(ConnectionLost):
        await adapter.send(TextFrame("f1", "hello"))
    assert (adapter.calls[-1].outcome, adapter.calls[-1].acted) == (Outcome.LOST, acted)
    if acted:
        assert len(await adapter.receive(demand=10)) == 3
    with pytest.raises(ConnectionLost):
        await adapter.receive(demand=10)
    with pytest.raises(ConnectionLost):
        await adapter.send(TextFrame("f2", "gone"))
    assert (await adapter.restart(REQUEST)).connection_id != first.connection_id
    await adapter.send(TextFrame("f3", "back"))


@pytest.mark.asyncio
async def test_a_cancelled_call_is_recorded_and_its_hold_may_still_be_released() -> None:
    adapter = await connected(ScriptedAdapter())
    answer = adapter.hold("send")
    sending = asyncio.create_task(adapter.send(TextFrame("f1", "hello")))
    await answer.wait_reached()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    answer.release()
    assert adapter.calls[-1].outcome is Outcome.CANCELLED
    assert adapter.sent == []


@pytest.mark.asyncio
async def test_a_cancelled_receive_loses_no_event() -> None:
    adapter = await connected(ScriptedAdapter())
    receiving = asyncio.create_task(adapter.receive(demand=1))
    await asyncio.sleep(0)
    adapter.give(Notice("a"))
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert await adapter.receive(demand=1) == (Notice("a"),)


@pytest.mark.asyncio
async def test_an_interrupt_cuts_the_item_and_drops_the_audio_nobody_received() -> None:
    adapter = await connected(ScriptedAdapter(answer=silent))
    adapter.give(ResponseStarted("r"), OutputAudio("r", "i", bytes(960)))
    await adapter.interrupt("r", heard_ms=5)
    assert adapter.calls[-1].argument == Interruption("r", 5)
    assert await adapter.receive(demand=10) == (
        ResponseStarted("r"),
        OutputTruncated("i", 5),
        ResponseEnded("r", ResponseStatus.CANCELLED),
    )
    with pytest.raises(ProviderError) as raised:
        await adapter.interrupt("other", heard_ms=None)
    assert raised.value.reason is Reason.NOT_FOUND


@pytest.mark.asyncio
async def test_a_dropped_connection_ends_its_responses_after_everything_given() -> None:
    adapter = await connected(ScriptedAdapter())
    adapter.give(ResponseStarted("r"))
    adapter.drop(ConnectionLost("expired", reason=Reason.SESSION_EXPIRED))
    assert await adapter.receive(demand=10) == (
        ResponseStarted("r"),
        ResponseEnded("r", ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST),
    )
    with pytest.raises(ConnectionLost) as raised:
        await adapter.receive(demand=1)
    assert raised.value.reason is Reason.SESSION_EXPIRED


@pytest.mark.asyncio
async def test_close_wakes_a_waiting_receive_and_may_be_repeated() -> None:
    adapter = await connected(ScriptedAdapter())
    receiving = asyncio.create_task(adapter.receive(demand=1))
    await asyncio.sleep(0)
    await adapter.close(CloseReason.NORMAL)
    await adapter.close(CloseReason.NORMAL)
    with pytest.raises(ConnectionLost) as raised:
        await receiving
    assert not raised.value.retryable


@pytest.mark.asyncio
async def test_sends_that_overlap_are_the_callers_mistake() -> None:
    adapter = await connected(ScriptedAdapter())
    answer = adapter.hold("send")
    sending = asyncio.create_task(adapter.send(TextFrame("f1", "a")))
    await answer.wait_reached()
    with pytest.raises(AssertionError, match="overlaps itself"):
        await adapter.send(TextFrame("f2", "b"))
    answer.release()
    await sending


@given(st.lists(st.sampled_from(["release", "fail", "lose"]), max_size=6))
def test_every_frame_has_exactly_one_fate(fates: list[str]) -> None:
    async def run() -> None:
        adapter = await connected(ScriptedAdapter(answer=silent))
        for number, fate in enumerate(fates):
            answer = adapter.hold("send")
            sending = asyncio.create_task(adapter.send(TextFrame(f"f{number}", "x")))
            await answer.wait_reached()
            match fate:
                case "release":
                    answer.release()
                case "fail":
                    answer.fail(ProviderError("no", reason=Reason.UNAVAILABLE))
                case _:
                    answer.lose(acted=False)
            await asyncio.wait([sending])
            if isinstance(sending.exception(), ConnectionLost):
                await adapter.restart(REQUEST)
        assert [frame.frame_id for frame in adapter.sent] == [
            f"f{number}" for number, fate in enumerate(fates) if fate == "release"
        ]

    asyncio.run(run())
