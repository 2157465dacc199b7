"""What a whole call promises, checked on a rig after every step and at its end."""

import asyncio
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from agentfield_journal import JournalError
from agentfield_rt.audit import Auditor
from agentfield_rt.core import records
from agentfield_rt.core.lifecycle import CLOSES, FEATURE_CLOSERS, OPENERS
from agentfield_rt.core.records import Record
from agentfield_rt.errors import RealtimeError, Reason
from agentfield_rt.frames import SpeechFrame, ToolResultFrame
from agentfield_rt.run import decode
from agentfield_rt.testing.call_rig import Asked, CallRig
from agentfield_rt.testing.scene import Scene
from agentfield_rt.testing.session_rig import RUN_ID, RuleBroken
from agentfield_rt.voice.link import FINAL_STATES

REST_S = 6.0
"""Longer than any deadline of the end of a session."""

_CLOSERS = frozenset(CLOSES) | FEATURE_CLOSERS
_ENDS_OF_SPEECH = (
    records.UtterancePlayed,
    records.UtteranceInterrupted,
    records.UtteranceFailed,
    records.UtteranceSkipped,
)


class CallStage(CallRig):
    """A rig on which every promise is held: `check` after each step, `finish` at the end.

    Attributes:
        may_raise: Errors of a test's own that whoever waits may get.
        leftovers_allowed: The handler is one that will not stop.
        history: All records, once it is over.
    """

    def __init__(self, scene: Scene | None = None) -> None:
        super().__init__(scene)
        self.may_raise: tuple[type[BaseException], ...] = ()
        self.leftovers_allowed = False
        self.history: list[Record] = []
        self._auditor = Auditor()
        self._read_seq = 0
        self._opened: set[str] = set()
        self._closed: set[str] = set()
        self._turns: list[str] = []
        self._being_said: str | None = None
        self._resumed: dict[str, list[str | None]] = {}
        self._checked_parts: set[str] = set()

    def of_kind(self, *record_types: type[Record]) -> list[Any]:
        """Its records of these types; they can still be read when it is over."""
        return [record for record in self.history or self.records() if isinstance(record, record_types)]

    # After every step.

    def check(self) -> None:
        """The promises that hold after every step.

        Raises:
            RuleBroken: saying which one does not.
        """
        told = [*self.complaints, *self.adapter.complaints]
        self.require(not told, "; ".join(told))
        for envelope in self.run(self.journal.read(RUN_ID, after=self._read_seq)):
            self._read_seq = envelope.seq
            self._auditor.add(envelope)
            self._follow(decode(envelope))
        report = self._auditor.report()
        self.require(report.clean, f"the auditor finds: {[finding.problem for finding in report.findings]}")
        self._check_turns()
        self._check_provider()
        for asked in self.asked:
            if asked.task.done() and not asked.task.cancelled():
                self._check_error(asked.what, asked.task.exception())
                self._check_acknowledged(asked)

    def _follow(self, record: Record) -> None:
        match record:
            case records.TurnStarted():
                self._turns.append(record.op_id)
            case records.UtteranceStarted():
                self.require(self._being_said is None, "two utterances are heard at once")
                self._being_said = record.utterance_id
            case records.UtteranceResumed():
                self._resumed.setdefault(record.utterance_id, []).append(record.heard_ref)
                if record.utterance_id == self._being_said:
                    self._being_said = None
            case _ if isinstance(record, _ENDS_OF_SPEECH) and record.op_id == self._being_said:
                self._being_said = None
            case _:
                pass
        if type(record) in OPENERS:
            self.require(_op_id(record) not in self._opened, f"{_op_id(record)} was opened before")
            self._opened.add(_op_id(record))
        elif type(record) in _CLOSERS:
            self.require(_op_id(record) not in self._closed, f"{_op_id(record)} was closed before")
            self.require(_op_id(record) in self._opened, f"{_op_id(record)} was never opened")
            self._closed.add(_op_id(record))

    def _check_turns(self) -> None:
        taken = [turn.id for turn in self.session.taken]
        self.require(len(set(taken)) == len(taken), "the handler got a turn twice")
        recorded = [turn_id for turn_id in self._turns if turn_id in taken]
        known = set(recorded)  # the handler does not wait for the disk
        in_order = [turn_id for turn_id in taken if turn_id in known] == recorded
        self.require(in_order, "turns came out of order")

    def _check_provider(self) -> None:
        """Nothing is asked of the provider twice."""
        repeated = self.adapter.effects.repeated()
        self.require(not [key for key in repeated if key[0] == "send"], f"sent twice: {repeated}")
        got = self.provider.got
        self._check_parts([frame for frame in got if isinstance(frame, SpeechFrame)])
        answered = _repeated(frame.call_id for frame in got if isinstance(frame, ToolResultFrame))
        self.require(not answered, "a tool was answered twice")

    def _check_parts(self, frames: list[SpeechFrame]) -> None:
        """Every part of an utterance is asked for once, and begins where the caller stopped hearing it."""
        self.require(not _repeated(frame.frame_id for frame in frames), "an utterance was said twice")
        whole = {frame.utterance_id: frame.text for frame in frames[::-1]}
        for frame in frames:
            part = int(frame.frame_id.partition(".")[2] or 0)
            if not part or frame.frame_id in self._checked_parts:
                continue
            heard_refs = self._resumed.get(frame.utterance_id, [])
            self.require(part <= len(heard_refs), "an utterance was taken up again, and no record says so")
            self._checked_parts.add(frame.frame_id)
            ref, words = heard_refs[part - 1], whole[frame.utterance_id]
            heard = "" if ref is None else self.run(self.content.get(ref)).decode()
            if frame.text is not None and words is not None and not self.scene.rules:
                again = f"{heard} {frame.text}".split()
                self.require(
                    words.split()[-len(again) :] == again, "the caller heard something twice, or never"
                )

    def _check_error(self, what: str, error: BaseException | None) -> None:
        expected = (RealtimeError, *self.may_raise, *((JournalError,) if self.journal_broke else ()))
        if error is not None and not isinstance(error, expected):
            raise RuleBroken(f"{what} raised {error!r}") from error

    def _check_acknowledged(self, asked: Asked) -> None:
        """Who was told that a turn was taken can rely on it."""
        if asked.what == "text" and asked.task.exception() is None:
            self.require(asked.task.result() in self._turns, "a turn was acknowledged that is not recorded")

    # At the end.

    def release(self) -> None:
        """The faults are over: the journal takes everything, the provider answers."""
        self.journal.faults.clear()
        self.adapter.forget_holds()
        for hold in self.holds:
            if not hold.decided:
                hold.release()
        self.settle()

    def finish(self) -> None:
        """The faults are over; the session ends, and everything that was promised is there."""
        self.release()
        closing = self.close()
        self.pass_time(REST_S)
        if self.journal_broke and closing.task.done() and _failed(closing.task):
            self._check_nobody_waits()  # nor for an end that is not recorded yet
            closing = self.close()
            self.pass_time(REST_S)
        self.require(closing.task.done(), "close never returns")
        self.require(not _failed(closing.task), f"the session cannot be closed: {_error(closing.task)!r}")
        self.require(self.session.has_ended, "the session does not end")
        self.settle()
        self._check_nobody_waits()
        self._check_hung_up()
        self._check_sealed()

    def _check_nobody_waits(self) -> None:
        waiting = [asked.what for asked in self.waiting]
        self.require(not waiting, f"{waiting} outlive the session")
        self.require(self.watching.done(), "the live feed is open")
        left = [task.get_name() for task in self.own_tasks()]
        self.require(self.leftovers_allowed or not left, f"{left} outlive the session")
        unsaid = [utterance for utterance in self.session.said if utterance.state not in FINAL_STATES]
        self.require(not unsaid, f"{len(unsaid)} utterances have no outcome")

    def _check_hung_up(self) -> None:
        methods = [call.method for call in self.adapter.calls]
        if self.provider.connections_total:
            self.require("close" in methods, "the microphone is open")
            late = [method for method in methods[methods.index("close") :] if method != "close"]
            self.require(not late, f"{late} after the provider was hung up on")

    def _check_sealed(self) -> None:
        self.run(self.call_run.seal(records.RunFailed(reason=Reason.UNAVAILABLE)))
        self.check()
        self.history = self.records()
        ends = [record for record in self.history if isinstance(record, records.SessionEnded)]
        self.require(len(ends) == 1, f"the session ended {len(ends)} times")
        self.require(self.history[-2] is ends[0], "something is recorded after the end")
        self.require(self._opened == self._closed, f"{self._opened - self._closed} have no outcome")
        unrecorded = {turn.id for turn in self.session.taken} - set(self._turns)
        self.require(not unrecorded, "the handler got a turn that is not recorded")
        self._check_speech()

    def _check_speech(self) -> None:
        """What the journal says was heard, the provider was asked for."""
        asked = {frame.utterance_id for frame in self.provider.got if isinstance(frame, SpeechFrame)}
        heard = {record.utterance_id for record in self.of_kind(records.UtteranceStarted)}
        self.require(heard <= asked, "an utterance was heard that nobody asked the provider for")


@contextmanager
def performance(scene: Scene | None = None) -> Generator[CallStage]:
    """A stage whose session is connected; at the end all that was promised is checked."""
    stage = CallStage(scene)
    try:
        stage.connected()
        yield stage
        stage.finish()
    finally:
        stage.dispose()


def _repeated(ids: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(ids).items() if times > 1]


def _op_id(record: Any) -> str:
    return str(record.op_id)


def _failed(task: "asyncio.Task[Any]") -> bool:
    return task.cancelled() or task.exception() is not None


def _error(task: "asyncio.Task[Any]") -> BaseException | None:
    return None if task.cancelled() else task.exception()
