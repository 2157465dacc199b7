"""Output that comes while an interrupt is under way, and the interrupt that comes to nothing."""

from collections.abc import Iterator

import pytest

from agentfield_rt.core import records
from agentfield_rt.testing import Line, MemoryProvider, silent
from agentfield_rt.testing.session_rules import SessionStage


def make() -> Line:
    provider = MemoryProvider(answer=silent)
    return Line(
        adapter=provider,
        say=provider.say,
        got=lambda: [frame.frame_id for frame in provider.got],
        drop=provider.drop,
    )


@pytest.fixture
def stage() -> Iterator[SessionStage]:
    stage = SessionStage(make)
    try:
        yield stage
    finally:
        stage.dispose()


def test_output_that_was_late_is_recorded_before_its_interrupt_fails(stage: SessionStage) -> None:
    stage.connect()
    stage.settle()
    response_id = stage.say_response(pieces=1, ends=False)
    stage.receive(demand=8)
    stage.settle()
    refusal = stage.hold("interrupt")
    stage.interrupt(response_id)
    stage.settle()
    stage.say_audio(response_id)
    stage.receive(demand=8)
    stage.settle()
    stage.decide(refusal, "fail")
    stage.settle()
    told = [type(record) for record in stage.watch.appended]
    assert told.index(records.OutputLate) < told.index(records.InterruptFailed)
    stage.finish()
