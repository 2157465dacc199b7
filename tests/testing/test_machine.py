"""The public machine over the runtime's own provider in memory."""

from hypothesis import settings

from agentfield_rt.testing.machine import FaultySessionMachine, SessionMachine

SEARCH = settings(max_examples=300, stateful_step_count=50)
"""More than 10,000 steps of each machine: an example ends before its fiftieth, now and then."""

TestSession = SessionMachine.TestCase
TestSession.settings = SEARCH

TestSessionOverAFaultyJournal = FaultySessionMachine.TestCase
TestSessionOverAFaultyJournal.settings = SEARCH
