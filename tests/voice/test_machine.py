"""The conversation under any order of what user, provider, handler, approvers, journal and time may do."""

from hypothesis import settings

from tests.voice.machine import BrokenJournalVoiceMachine, VoiceMachine
from tests.voice.model_machine import BrokenJournalModelMachine, ModelMachine

SEARCH = settings(max_examples=300, stateful_step_count=40)
"""11,000 steps of each machine; some runs end early."""

TestVoice = VoiceMachine.TestCase
TestVoice.settings = SEARCH

TestVoiceOverABrokenJournal = BrokenJournalVoiceMachine.TestCase
TestVoiceOverABrokenJournal.settings = SEARCH

FEWER = settings(max_examples=50, stateful_step_count=40)
"""What is new in a call without a handler is little."""

TestModel = ModelMachine.TestCase
TestModel.settings = FEWER

TestModelOverABrokenJournal = BrokenJournalModelMachine.TestCase
TestModelOverABrokenJournal.settings = FEWER
