"""Where the model answers by itself: which turn it answered, and what it owes when its connection is lost."""

from collections.abc import Iterable

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.frames import (
    FRAME_BYTES,
    InputFrame,
    InputTranscript,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
)
from agentfield_rt.items import AssistantItem, History, ToolCallItem, ToolOutputItem, UserItem
from agentfield_rt.ports import ConnectRequest, SessionConfig
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import Desk, VoiceCall, voice_call

ANSWERS = SessionConfig(turn_detection={"type": "server_vad"}, create_response=True)
LETS_SPEAK = SessionConfig(
    turn_detection={"type": "server_vad", "interrupt_response": False}, create_response=True
)


def heard(item_id: str) -> list[ProviderEvent]:
    """The user says something; its words are not known yet."""
    return [SpeechStarted(item_id), SpeechStopped(item_id)]


def words(item_id: str) -> ProviderEvent:
    return InputTranscript(item_id, f"words of {item_id}", final=True)


def spoken(response_id: str, utterance_id: str | None = None) -> Iterable[ProviderEvent]:
    """An answer of 400 ms, up to its last sound."""
    yield ResponseStarted(response_id, utterance_id)
    yield OutputTranscript(response_id, f"item_{response_id}", f"says {response_id}")
    for _ in range(20):
        yield OutputAudio(response_id, f"item_{response_id}", bytes(FRAME_BYTES))


def answer(response_id: str) -> list[ProviderEvent]:
    return [*spoken(response_id), ResponseEnded(response_id, ResponseStatus.COMPLETED)]


async def told(call: VoiceCall) -> History:
    """What a new connection is told once this one is lost."""
    call.adapter.drop()
    await time_passes(2)
    request = [made for made in call.adapter.calls if made.method == "restart"][-1].argument
    assert isinstance(request, ConnectRequest)
    assert request.history is not None
    return request.history


def texts(history: History) -> list[str]:
    return [item.text for item in history.items if isinstance(item, UserItem | AssistantItem)]


@in_virtual_time
async def test_what_is_said_while_an_answer_is_heard_is_owed_another_one() -> None:
    async with voice_call(config=LETS_SPEAK) as call:
        call.adapter.give(*heard("one"), words("one"), *answer("r1"))
        await call.settle()
        call.adapter.give(*heard("two"), words("two"))
        await time_passes(2)
        history = await told(call)
        assert texts(history) == ["words of one", "says r1", "words of two"]
        assert history.answer_owed
        first, _ = await call.of_kind(records.TurnStarted)
        own, *_ = await call.of_kind(records.ResponseHeard)
        assert own.turn_id == first.op_id


@in_virtual_time
async def test_words_that_come_when_their_answer_was_heard_are_owed_none() -> None:
    async with voice_call(config=ANSWERS) as call:
        call.adapter.give(*heard("one"), *answer("r1"))
        await time_passes(2)
        call.adapter.give(words("one"))
        await call.settle()
        history = await told(call)
        assert texts(history) == ["words of one", "says r1"]
        assert not history.answer_owed


@in_virtual_time
async def test_words_come_to_their_turn_in_whatever_order_they_come() -> None:
    async with voice_call(config=ANSWERS) as call:
        call.adapter.give(*heard("one"), *heard("two"), ResponseStarted("r1"))
        call.adapter.give(words("two"), words("one"))
        await call.settle()
        call.adapter.give(ResponseEnded("r1", ResponseStatus.COMPLETED))
        await call.settle()
        second, _ = await call.of_kind(records.TurnStarted)
        (own,) = await call.of_kind(records.ResponseHeard)
        assert own.turn_id == second.op_id


@in_virtual_time
async def test_what_was_typed_is_a_turn_that_the_next_answer_knows() -> None:
    async with voice_call(config=ANSWERS) as call:
        call.adapter.give(*heard("one"), words("one"))
        await call.settle()
        turn_id = await call.session.hear_text("typed")
        call.adapter.give(*answer("r1"))
        await time_passes(2)
        (own,) = await call.of_kind(records.ResponseHeard)
        assert own.turn_id == turn_id


@in_virtual_time
async def test_what_a_handler_lets_the_model_say_stands_before_the_tool_that_it_called() -> None:
    def calls_a_tool(frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        if isinstance(frame, SpeechFrame):
            yield from spoken(response_id, frame.utterance_id)
            yield ToolCalled(response_id, "call_1", "look_up", "{}")
            yield ResponseEnded(response_id, ResponseStatus.COMPLETED)

    async def lets_it(session: RealtimeSession) -> None:
        async for _ in session.turns():
            await session.reply(instructions="look it up")

    desk = Desk(look_up=lambda: "found")
    async with voice_call(lets_it, answer=calls_a_tool, tools={"look_up": "node.look_up"}, desk=desk) as call:
        await call.user_says("where is it")
        await time_passes(2)
        kinds = [type(item) for item in (await told(call)).items]
        assert kinds == [UserItem, AssistantItem, ToolCallItem, ToolOutputItem]
