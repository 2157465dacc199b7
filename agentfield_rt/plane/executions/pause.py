"""What an execution waits for while its node has it, and how long it has waited. Knows no clock."""

from dataclasses import dataclass

from agentfield_rt.core import records
from agentfield_rt.core.records import PauseAnswer


@dataclass(slots=True, eq=False, kw_only=True)
class Question:
    """What an execution asked of somebody outside; the last one that it asked.

    Attributes:
        request_id: By which whoever answers names it; the agent chose it.
        asked_ref: The content to look at before answering.
        expires_at: When no answer is one, too.
        answer_ref: The words of the answer, as content.
    """

    request_id: str
    asked_at: float
    expires_at: float
    asked_ref: str | None = None
    answer: PauseAnswer | None = None
    answered_at: float | None = None
    answer_ref: str | None = None


@dataclass(slots=True, eq=False)
class Pauses:
    """The pauses of one execution: a fold of its records.

    Attributes:
        since: When it began to wait; None: it does not.
    """

    since: float | None = None
    question: Question | None = None
    _waited_s: float = 0.0

    @property
    def is_asking(self) -> bool:
        """Whether somebody may still answer."""
        return self.question is not None and self.question.answer is None

    def waited_s(self, now: float) -> float:
        """How long it has waited, all pauses together."""
        return self._waited_s + (0.0 if self.since is None else max(now - self.since, 0.0))

    def take(self, record: records.ExecutionPaused | records.ExecutionResumed, at: float) -> None:
        """Go on with the fold."""
        match record:
            case records.ExecutionPaused(request_id=request_id):
                self.since = self.since or at
                if request_id is not None:
                    self.question = Question(
                        request_id=request_id,
                        asked_at=at,
                        expires_at=at + record.expires_after_s,
                        asked_ref=record.asked_ref,
                    )
            case records.ExecutionResumed():
                self._waited_s, self.since = self.waited_s(at), None
                if record.answer is not None and self.question is not None:
                    self.question.answer, self.question.answered_at = record.answer, at
                    self.question.answer_ref = record.answer_ref
