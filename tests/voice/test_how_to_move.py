"""What the page for those who come from VideoSDK shows is what there is."""

import inspect
import re
from pathlib import Path
from typing import Any

from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.core import records
from agentfield_rt.turn_detection import validate_turn_detection
from tests.virtual_time import in_virtual_time, time_passes
from tests.voice.call import voice_call

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "come-from-videosdk.md").read_text()


@in_virtual_time
async def test_a_caller_who_says_nothing_is_asked_and_heard_afterwards() -> None:
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], names)
    app = names["app"]
    assert isinstance(app, Agent)
    async with voice_call(app.sessions["voice"].function) as call:
        await time_passes(15)
        await call.user_says("hello")
        await time_passes(5)
        played = await call.of_kind(records.UtterancePlayed)
        heard = [await call.text_of(record.heard_ref) for record in played]
        assert heard == ["Are you still there?", "You said: hello."]


def test_the_page_names_what_a_session_has() -> None:
    for name, given in re.findall(r"session\.(\w+)\(([^)\n]*)\)?", PAGE):
        method = inspect.signature(getattr(RealtimeSession, name))
        for keyword in re.findall(r"(\w+)=", given):
            assert keyword in method.parameters


def test_an_answer_that_nobody_may_interrupt_is_declared_as_the_page_says() -> None:
    (declared,) = re.findall(r"turn_detection=(\{.*?\})", PAGE)
    detection: Any = eval(declared)
    taken: Any = validate_turn_detection(detection, provider="local", transport="webrtc")
    assert taken["interrupt_response"] is False
