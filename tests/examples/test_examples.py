"""Every file in examples/ runs, as a person would run it, and does what it says."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentfield_rt.agent import Agent, ExecutionContext
from agentfield_rt.cli.apps import load_agent
from agentfield_rt.testing.agent_process import agent_process
from agentfield_rt.voice.link import ExecutionRequest

EXAMPLES = Path(__file__).parents[2] / "examples"
TESTED = {"controller.py", "http_client.py", "voice_support.py"}
ELSEWHERE = {"acme_adapter.py", "runtime.py"}
"""By tests/adapters/test_own_adapter.py and tests/plane/test_runtime.py."""


def run(name: str, *arguments: str, **variables: str) -> list[str]:
    """The lines an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED | ELSEWHERE


def test_the_controller_alone_journals_each_call_and_its_outcome() -> None:
    records = [line.split() for line in run("controller.py") if line[0].isdigit()]
    kinds = [kind for _, kind, _ in records]
    assert kinds == [
        "realtime_connect_requested",
        "realtime_connected",
        "realtime_input_send_requested",
        "realtime_input_sent",
        "realtime_output_receive_requested",
        "realtime_output_received",
        "realtime_close_requested",
        "realtime_closed",
    ]
    assert [records[i][2] for i in (0, 2, 4, 6)] == [records[i][2] for i in (1, 3, 5, 7)]


@pytest.mark.asyncio
async def test_the_order_desk_answers_a_client_over_http(tmp_path: Path) -> None:
    async with agent_process(EXAMPLES / "voice_support.py", tmp_path / "data") as desk:
        lines = run("http_client.py", "Where is order number 12?", AGENTFIELD_SERVER=desk.url)
    told = dict(line.split(maxsplit=1) for line in lines if len(line.split(maxsplit=1)) == 2)
    assert told["turn_started"] == "Where is order number 12?"
    assert told["utterance_played"] == "Order twelve is stuck in customs."
    assert lines[-1].strip() == "session_ended"


class InProcess:
    """Runs an agent's reasoners at once (`Executor`)."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def execute(self, request: ExecutionRequest) -> Any:
        name = request.target.partition(".")[2]
        return await self._agent.invoke(name, request.arguments, ExecutionContext(request.run_id or "run"))


async def answers(*said: str | None) -> list[str]:
    """What the order desk answers to each turn of one conversation; None was not understood."""
    desk = load_agent(str(EXAMPLES / "voice_support.py"))
    desk.bind(InProcess(desk))
    answer: dict[str, Any] = {}
    spoken: list[str] = []
    for text in said:
        turn = {"id": "turn_1", "text": text or "", "understood": text is not None, "source": "speech"}
        answer = await desk.call("voice-support.resolve_turn", turn=turn, before=answer)
        spoken.append(answer["spoken_response"])
    return spoken


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("where is order four", "Order four is stuck in customs."),
        ("Where is order 24?", "Order twenty four is stuck in customs."),
        ("please send a replacement for order number nine", "A new parcel for order nine leaves today."),
        ("what are your opening hours", "We are open from nine to five, Monday to Friday."),
        ("where is order ninety", "I do not know that order. Their numbers are one to forty nine."),
        ("thank you very much", "You are welcome."),
        ("purple elephants", "I find orders, cancel them, and send replacements."),
    ],
)
async def test_the_order_desk_has_an_answer(said: str, answer: str) -> None:
    assert await answers(said) == [answer]


@pytest.mark.asyncio
async def test_nothing_is_cancelled_before_a_yes() -> None:
    asked, unclear, cancelled = await answers("cancel order number twelve", None, "yes please")
    assert asked == "Shall I cancel order twelve?"
    assert unclear == "Sorry, I did not catch that. Please say it again."
    assert cancelled == "Order twelve is cancelled. Your money is on its way back."
    assert (await answers("cancel order two", "no thank you"))[-1] == "All right, order two stays as it is."
    changed_mind = await answers("cancel order two", "where is order three", "yes")
    assert changed_mind[-1] == "There is nothing to confirm. What can I do for you?"


@pytest.mark.asyncio
async def test_the_desk_repeats_itself_on_request() -> None:
    first, again = await answers("what time is it", "please repeat that")
    assert first == again
