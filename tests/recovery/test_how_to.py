"""What the how-to shows is what there is."""

import re
from pathlib import Path
from typing import Any

import pytest

from agentfield_rt.core.lifecycle import Phase
from agentfield_rt.recovery import inspect_run
from agentfield_rt.testing import run
from agentfield_rt.voice.spec import SessionServices
from tests.recovery.enumeration import live
from tests.recovery.golden import GOLDEN
from tests.recovery.golden_above import answers, call_spec
from tests.recovery.process import RUN, SESSION, Death, Process
from tests.recovery.stage import Golden
from tests.voice.call import Desk, Listener, handler_of

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "recover-a-session.md"
STORIES = {golden.name: golden for golden in GOLDEN}


def shown() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, names)
    return names


async def _next(golden: Golden, death: Death) -> Process:
    """A process that finds what another one left."""
    world, dead = await live(golden, death)
    return Process(world, dead.store, answer=golden.answer)


def test_the_page_looks_at_a_run_goes_on_with_it_and_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    names = shown()

    async def work() -> None:
        p = await _next(STORIES["audio_in_windows"], Death("call after", 4))
        found = await names["look"](p.journal, RUN)
        assert found.open_operations
        controller = await names["go_on"](p.journal, RUN, p.adapter)
        assert controller.state.phase is Phase.OPEN
        await controller.run.release()
        assert await names["end"](p.journal, RUN)
        assert not await names["end"](p.journal, RUN)

    run(work())
    assert capsys.readouterr().out.startswith(f"{SESSION} open")


def test_the_page_goes_on_with_a_spoken_session() -> None:
    names = shown()

    async def work() -> None:
        p = await _next(STORIES["a_call_with_two_turns"], Death("call after", 4))
        session = await names["go_on_speaking"](
            p.journal,
            RUN,
            call_spec(),
            adapter=p.adapter,
            services=SessionServices(content=p.world.content, executor=Desk()),
            handler=handler_of(answers),
            caller=Listener(),
        )
        assert session.phase == "open"
        await session.close()
        assert not (await inspect_run(p.journal, RUN)).started

    run(work())
