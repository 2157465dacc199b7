"""The public machine over the runtime's own provider in memory."""

from hypothesis import settings

from agentfield_rt.testing.machine import FaultySessionMachine, SessionMachine
from agentfield_rt.testing.memory_provider import MemoryProvider, silent
from agentfield_rt.testing.session_rig import Line
from agentfield_rt.testing.session_rules import SessionStage

SEARCH = settings(max_examples=230, stateful_step_count=50)
"""More than 10,000 steps of each machine: an example ends before its fiftieth, now and then."""

TestSession = SessionMachine.TestCase
TestSession.settings = SEARCH

TestSessionOverAFaultyJournal = FaultySessionMachine.TestCase
TestSessionOverAFaultyJournal.settings = SEARCH


def test_what_waits_from_before_a_restart_is_received_before_anything_counts_as_lost() -> None:
    """More than a few receives bring, with one message of the new connection behind it."""

    def line() -> Line:
        provider = MemoryProvider(answer=silent)
        return Line(adapter=provider, say=provider.say)

    stage = SessionStage(line)
    try:
        stage.connect()
        stage.settle()
        for _ in range(60):
            stage.say_response(pieces=3)
        stage.restart()
        stage.settle()
        stage.say_notice()
        stage.finish()
        assert len(stage.delivered) == len(stage.said)
    finally:
        stage.dispose()
