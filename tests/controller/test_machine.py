"""The controller under any overlap of calls, answers, losses and cancellations Hypothesis can think of."""

from hypothesis import settings

from tests.controller.machine import BrokenJournalMachine, ControllerMachine

TestController = ControllerMachine.TestCase
TestController.settings = settings(max_examples=100, stateful_step_count=50)

TestControllerOverABrokenJournal = BrokenJournalMachine.TestCase
TestControllerOverABrokenJournal.settings = settings(max_examples=60, stateful_step_count=50)
