"""A real browser calls the order desk: the right reasoner runs, and the browser hears the answer."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentfield_rt.testing.agent_process import AgentProcess
from agentfield_rt.testing.browser_call import BrowserCall, browser_call, browser_page
from agentfield_rt.testing.forced_choice import heard_sentence

pytestmark = pytest.mark.asyncio(loop_scope="module")

Speak = Callable[..., Awaitable[Path]]

DECOYS = [
    "sorry i did not catch that",
    "good morning how can i help you today",
    "we are open from nine to five every day of the week",
    "i will connect you to a person in a moment",
]


async def answered(call: BrowserCall, number: int) -> dict[str, Any]:
    """The page's turn `number`, once its answer has been heard."""
    await call.wait_for(f"turns.length > {number} && turns[{number}].status !== 'open'", timeout_s=40)
    return (await call.turns())[number]


def targets_of(turn: dict[str, Any]) -> list[str]:
    return [execution["target"] for execution in turn["executions"]]


@pytest.mark.parametrize(
    ("path", "query"),
    [("webrtc", ""), ("websocket", "path=websocket"), ("webrtc", "target=voice-support.voice-websocket")],
    ids=["webrtc to the provider", "websocket", "webrtc to the plane"],
)
async def test_a_spoken_question_runs_its_reasoner_and_the_browser_hears_the_answer(
    desk: AgentProcess, speak: Speak, path: str, query: str
) -> None:
    microphone = await speak(2.0, "where is order number nine", 12.0)
    async with browser_call(desk.url, microphone=microphone, query=query) as call:
        turn = await answered(call, 0)
        assert (await call.state())["path"] == path
        recording = await call.recording()
        await call.hang_up()
    assert turn["understood"]
    assert "nine" in turn["text"]
    assert "voice-support.lookup_order" in targets_of(turn)
    said = turn["utterances"][0]["text"]
    assert turn["utterances"][0]["status"] == "played"
    (sound,) = [s for s in recording.answered() if s.end_s - s.start_s > 0.5][:1]
    assert heard_sentence(recording, sound, [said, *DECOYS]) == said


@pytest.mark.parametrize("path", ["webrtc", "websocket"])
async def test_talking_over_the_agent_stops_it_and_the_journal_says_how_far_it_was_heard(
    desk: AgentProcess, speak: Speak, path: str
) -> None:
    microphone = await speak(2.0, "tell me a long story", 4.0, "what time is it", 8.0)
    query = "path=websocket" if path == "websocket" else ""
    async with browser_call(desk.url, microphone=microphone, query=query) as call:
        await answered(call, 1)
        recording = await call.recording()
        story = (await call.turns())[0]["utterances"][0]
        await call.hang_up()
    assert story["status"] == "interrupted"
    heard, planned = story["heard"], story["text"]
    assert heard
    assert planned.startswith(heard)
    assert len(heard) < len(planned) * 0.8
    cut_in = recording.spoken()[1]
    begun_before = [s for s in recording.answered() if s.start_s < cut_in.start_s]
    assert begun_before[-1].end_s < cut_in.end_s, "the story went on while the caller spoke"


async def test_a_caller_without_a_microphone_types_and_hears(desk: AgentProcess) -> None:
    async with browser_page() as page:
        await page.goto(f"{desk.url}/?record=1")
        call = BrowserCall(page)
        await call.type("where is order number seven")
        turn = await answered(call, 0)
        recording = await call.recording()
        await call.hang_up()
    assert turn["source"] == "text"
    assert "voice-support.lookup_order" in targets_of(turn)
    assert recording.answered(), "nothing was audible"


async def test_speech_that_is_no_request_is_not_guessed_at(desk: AgentProcess, speak: Speak) -> None:
    microphone = await speak(2.0, "my dog ate a very large sandwich this morning", 8.0)
    async with browser_call(desk.url, microphone=microphone) as call:
        turn = await answered(call, 0)
        await call.hang_up()
    assert not turn["understood"]
    assert "voice-support.lookup_order" not in targets_of(turn)


async def test_a_closed_tab_ends_its_session(desk: AgentProcess, speak: Speak) -> None:
    microphone = await speak(6.0)
    async with browser_call(desk.url, microphone=microphone) as call, httpx.AsyncClient() as http:
        session_id = (await call.state())["session_id"]
        events = f"{desk.url}/api/v1/session-instances/{session_id}/events"
        async with http.stream("GET", events, timeout=20) as stream:
            await call.page.close()
            async for line in stream.aiter_lines():  # ends with the session
                if line.startswith("event: end"):
                    break
        shown = (await http.get(f"{desk.url}/api/v1/session-instances/{session_id}")).json()
    assert shown["phase"] == "closed"
    assert shown["close_reason"] == "caller_gone"
