"""Speech over a websocket: turns, transcripts, interruption, and push to talk."""

from __future__ import annotations

import asyncio

import pytest

from agentfield_adapters.local.mouth.caller import silence
from tests.local_provider.provider_process import RunningProvider
from tests.local_provider.realtime_client import GRAMMAR, cached_speech, session

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"


@pytest.mark.asyncio
async def test_a_spoken_turn_is_announced_transcribed_and_answered(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.listen_for_requests()
        await client.speak("where is my order")
        await client.until("response.done")
        kinds = client.kinds(since="session.updated")
        assert kinds[: kinds.index("response.output_item.added")] == [
            "input_audio_buffer.speech_started",
            DELTA,
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            COMPLETED,
        ]
        item_id = client.all("input_audio_buffer.speech_started")[0]["item_id"]
        turn = [event for event in client.events if event.get("item_id") == item_id]
        assert len(turn) == 4 + len(client.all(DELTA))
        assert client.all(COMPLETED)[0]["transcript"] == "where is my order"
        assert "where is my order".startswith("".join(event["delta"] for event in client.all(DELTA)))
        answer = client.all("response.done")[0]["response"]["output"][0]
        assert answer["content"][0]["transcript"] == "You said: where is my order."


@pytest.mark.asyncio
async def test_without_create_response_a_turn_is_only_transcribed(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.listen_for_requests(create_response=False)
        await client.speak("cancel order two")
        completed = await client.until(COMPLETED)
        assert completed["transcript"] == "cancel order two"
        await client.configure()
        assert not client.all("response.created")


@pytest.mark.asyncio
async def test_unrelated_speech_is_rejected_and_never_guessed(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.listen_for_requests(create_response=False)
        await client.speak("my sister lives in a small house by the sea")
        failed = await client.until(FAILED)
        assert failed["error"]["type"] == "transcription_error"
        assert failed["error"]["code"] == "audio_unintelligible"
        assert not client.all(COMPLETED)


@pytest.mark.asyncio
async def test_without_transcription_there_is_no_transcript(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.speak("where is my order")
        done = await client.until("response.done")
        said = done["response"]["output"][0]["content"][0]["transcript"]
        assert said.startswith("I heard ")
        assert not client.all(COMPLETED) and not client.all(FAILED) and not client.all(DELTA)


@pytest.mark.asyncio
async def test_speech_interrupts_an_answer(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.listen_for_requests(create_response=False)
        await client.say("One two three four five six seven eight nine ten. " * 4)
        await client.until("response.output_audio.delta")
        await client.speak("goodbye")
        done = await client.until("response.done")
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        kinds = client.kinds()
        assert kinds.index("input_audio_buffer.speech_started") < kinds.index("response.output_audio.done")
        assert (await client.until(COMPLETED))["transcript"] == "goodbye"


@pytest.mark.asyncio
async def test_interruption_can_be_switched_off(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.listen_for_requests(create_response=False, interrupt_response=False)
        await client.say("One two three four five six seven eight nine ten.")
        await client.until("response.output_audio.delta")
        await client.speak("goodbye")
        assert (await client.until("response.done"))["response"]["status"] == "completed"


@pytest.mark.asyncio
async def test_push_to_talk_waits_for_the_commit_and_for_the_request(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        transcription = {"prompt": GRAMMAR}
        await client.configure(audio={"input": {"transcription": transcription, "turn_detection": None}})
        await client.append(silence(200))
        await client.append(await cached_speech("let me talk to a person"))
        await client.send("input_audio_buffer.commit")
        completed = await client.until(COMPLETED)
        assert completed["transcript"] == "let me talk to a person"
        assert client.kinds(since="session.updated") == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            COMPLETED,
        ]
        await client.send("response.create")
        assert (await client.until("response.done"))["response"]["status"] == "completed"


@pytest.mark.asyncio
async def test_a_cleared_buffer_holds_nothing_to_commit(provider: RunningProvider) -> None:
    async with session(provider) as client:
        await client.next()
        await client.configure(audio={"input": {"turn_detection": None}})
        await client.append(silence(500))
        await client.ask("input_audio_buffer.clear", "input_audio_buffer.cleared")
        error = (await client.ask("input_audio_buffer.commit", "error"))["error"]
        assert error["code"] == "input_audio_buffer_commit_empty"


@pytest.mark.asyncio
async def test_many_sessions_hear_at_the_same_time(provider: RunningProvider) -> None:
    async def one(text: str) -> str:
        async with session(provider) as client:
            await client.next()
            await client.listen_for_requests(create_response=False)
            await client.speak(text)
            return str((await client.until(COMPLETED))["transcript"])

    texts = ["where is my order", "goodbye", "cancel order two", "what are your opening hours"]
    assert await asyncio.gather(*(one(text) for text in texts)) == texts
