"""The conversation under any order of what user, provider, handler, approvers, journal and time may do."""

from hypothesis import settings

from tests.voice.machine import BrokenJournalVoiceMachine, VoiceMachine

SEARCH = settings(max_examples=300, stateful_step_count=40)
"""11,000 steps of each machine; some runs end early."""

TestVoice = VoiceMachine.TestCase
TestVoice.settings = SEARCH

TestVoiceOverABrokenJournal = BrokenJournalVoiceMachine.TestCase
TestVoiceOverABrokenJournal.settings = SEARCH
