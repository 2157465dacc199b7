"""What is done about a rule's match: recorded, begun, and closed exactly once, whatever becomes of it.

Knows no text: what is passed on is the stream's business, and what was matched reaches only its hash.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from agentfield_journal import JournalError
from agentfield_rt.approvals import ApprovalRule, Approvals, ApprovalSubject
from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.core.records.rules import Channel
from agentfield_rt.core.rules.rule import (
    Abort,
    AbortAndRetry,
    Drop,
    Emit,
    Inject,
    Mask,
    Message,
    PauseForApproval,
    Rule,
)
from agentfield_rt.core.rules.stream import Finding
from agentfield_rt.errors import ProviderError, RealtimeError, Reason
from agentfield_rt.frames import InputFrame, TextFrame, ToolResultFrame
from agentfield_rt.idle import Few
from agentfield_rt.run import Context, Run
from agentfield_rt.voice.live import LiveFeed
from agentfield_rt.voice.turns import Turns
from agentfield_rt.voice.utterance import Utterance
from agentfield_rt.voice.utterances import Utterances

log = logging.getLogger(__name__)

AT_ONCE_MAX = 32
"""Interventions under way. One more fails; the text it is about is kept back all the same."""

RETRIED_MAX = 256
STOP_MAX_S = 3.0

Closer = records.StreamInterventionApplied | records.StreamInterventionFailed


@dataclass(frozen=True, slots=True)
class Reach:
    """What rules can reach of their session.

    Attributes:
        interrupt: Stops what is being said and skips what waits.
        send: Hands a frame to the provider.
        failed: Ends the session: what a rule asked for could not be done, by a fault of ours.
    """

    approvals: Approvals
    live: LiveFeed
    utterances: Utterances
    turns: Turns
    interrupt: Callable[[], Awaitable[None]]
    send: Callable[[InputFrame], Awaitable[object]]
    failed: Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where rules found something, and how the message goes on after a pause.

    Attributes:
        turn_id: The turn it belongs to, where that is known already.
        utterance: What the agent was asked to say, for its own words.
        held: What a pause holds; somebody has to see it to decide.
        resume: Ends the pause.
    """

    channel: Channel
    message: Message
    turn_id: str | None
    utterance: Utterance | None
    held: Callable[[], str]
    resume: Callable[[bool], None]


class Interventions:
    """The interventions of one session."""

    def __init__(self, run: Run, session_id: str, *, reach: Reach, keep: Callable[[str], str]) -> None:
        self._run = run
        self._session_id = session_id
        self._keep = keep
        self._reach = reach
        self._open: dict[str, str | None] = {}
        self._owed: dict[str, Closer] = {}
        self._tasks = Few[asyncio.Task[None]]()
        self._attempts: dict[str, int] = {}
        self._is_closed = False

    def write(self, written: Sequence[Record], turn_id: str | None = None) -> None:
        """Append a batch about this session."""
        self._run.append(written, Context(session_id=self._session_id, turn_id=turn_id))

    def act(self, finding: Finding, site: Site) -> None:
        """Record a match and do what its rule asks for."""
        rule, turn_id = finding.rule, site.turn_id
        matched = _matched(finding, site)
        if not finding.intervenes:
            self.write([matched], turn_id)
            return
        op_id = f"int_{secrets.token_hex(8)}"
        batch: list[Record] = [matched, _opener(op_id, finding)]
        if finding.key is not None:
            key = finding.key
            batch.append(
                records.StreamRuleRepeatStateRecorded(
                    rule_id=key.rule_id, version=key.version, repeat=key.repeat, key=key.key
                )
            )
        if isinstance(rule.action, Mask | Drop | Emit):  # done with the text, or with the next line
            self.write([*batch, records.StreamInterventionApplied(op_id=op_id)], turn_id)
            if isinstance(rule.action, Emit):
                self._tell(rule, rule.action, site)
            return
        self.write(batch, turn_id)
        self._open[op_id] = turn_id
        self._begin(op_id, rule, site)

    async def close(self) -> None:
        """The session is over: what has not been done will not be.

        Raises:
            JournalError: that could not be written; asked again, what is missing is.
        """
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_MAX_S)
        for op_id, turn_id in list(self._open.items()):
            closer = self._owed.setdefault(op_id, _failed(op_id, Reason.CANCELLED))
            self.write([closer], turn_id)
            del self._open[op_id], self._owed[op_id]

    def _begin(self, op_id: str, rule: Rule, site: Site) -> None:
        if self._is_closed or len(self._tasks) >= AT_ONCE_MAX:
            self._fail(op_id, Reason.CANCELLED if self._is_closed else Reason.RATE_LIMITED)
            site.resume(False)
            return
        self._spawn(self._carry_out(op_id, rule, site), f"intervention {op_id}")

    def answer_tool(self, call_id: str, output: str) -> None:
        """Answer a tool call that does not come to run."""
        self._spawn(self._answer_tool(ToolResultFrame(f"tool_{call_id}", call_id, output)), f"tool {call_id}")

    async def _answer_tool(self, frame: ToolResultFrame) -> None:
        try:
            await self._reach.send(frame)
        except (RealtimeError, JournalError) as error:
            log.info("the model did not learn that a call was stopped: %s", type(error).__name__)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s broke off: %s", task.get_name(), type(error).__name__)
            self._reach.failed()

    async def _carry_out(self, op_id: str, rule: Rule, site: Site) -> None:
        approved: bool | None = None
        try:
            match rule.action:
                case Abort():
                    await self._stop(site)
                case AbortAndRetry():
                    await self._stop(site)
                    self._ask_again(rule.action, site)
                case Inject(text):
                    await self._inject(op_id, rule, text)
                case PauseForApproval():
                    approved = await self._ask(op_id, rule, site)
                case _:
                    raise TypeError(f"{rule.action.kind} is not an intervention of its own")
            self._close_with(records.StreamInterventionApplied(op_id=op_id, approved=approved))
        except (RealtimeError, JournalError) as error:
            log.info("an intervention of session %s failed: %s", self._session_id, type(error).__name__)
            self._fail(op_id, error.reason if isinstance(error, ProviderError) else Reason.UNAVAILABLE)
        finally:  # an error of ours must not leave it open either; without an answer a pause ends with no
            self._fail(op_id, Reason.CANCELLED if self._is_closed else Reason.INTERNAL)
            if isinstance(rule.action, PauseForApproval) and not self._is_closed:
                site.resume(approved is True)

    async def _stop(self, site: Site) -> None:
        """Stop what is being said; of the agent's words only the utterance they belong to."""
        if site.utterance is None or self._reach.utterances.current is site.utterance:
            await self._reach.interrupt()

    def _ask_again(self, action: AbortAndRetry, site: Site) -> None:
        asked = site.utterance
        if asked is None or asked.instructions is None:
            message = "only an answer of the model's own can be asked for again"
            raise ProviderError(message, reason=Reason.INVALID_REQUEST)
        attempt = self._attempts.pop(asked.utterance_id, 0) + 1
        if attempt > action.attempts_max:
            raise ProviderError("it was asked often enough", reason=Reason.NOT_ALLOWED)
        instructions = "\n".join(part for part in (asked.instructions, action.instructions) if part)
        again = Utterance(f"utt_{secrets.token_hex(8)}", None, instructions, asked.turn_id)
        self._attempts[again.utterance_id] = attempt
        while len(self._attempts) > RETRIED_MAX:
            del self._attempts[next(iter(self._attempts))]
        self._reach.utterances.add(again)

    async def _inject(self, op_id: str, rule: Rule, text: str) -> None:
        frame = TextFrame(f"inj_{secrets.token_hex(8)}", text)
        await self._reach.send(frame)
        appended = records.StreamRuleInjectionAppended(
            rule_id=rule.id,
            version=rule.version,
            intervention_id=op_id,
            frame_id=frame.frame_id,
            text_ref=self._keep(text),
        )
        self.write([appended], self._open.get(op_id))

    async def _ask(self, op_id: str, rule: Rule, site: Site) -> bool:
        assert isinstance(rule.action, PauseForApproval)
        question = ApprovalRule(
            target=rule.id, expires_after_s=rule.action.expires_after_s, for_session=False
        )
        approval = await self._reach.approvals.request(
            ApprovalSubject.INTERVENTION, question, op_id=op_id, detail=site.held()
        )
        return approval.is_granted

    def _tell(self, rule: Rule, action: Emit, site: Site) -> None:
        self._reach.live.publish(
            {
                "type": "notice",
                "notice": action.notice,
                "rule_id": rule.id,
                "channel": site.channel.value,
                "message_id": site.message.message_id,
            }
        )

    def _fail(self, op_id: str, reason: Reason) -> None:
        self._close_with(_failed(op_id, reason))

    def _close_with(self, closer: Closer) -> None:
        """The first outcome is the one. What the journal refuses is owed until the session ends."""
        op_id = closer.op_id
        if op_id not in self._open:
            return
        with contextlib.suppress(JournalError):
            self.write([self._owed.setdefault(op_id, closer)], self._open[op_id])
            del self._open[op_id], self._owed[op_id]


def _failed(op_id: str, reason: Reason) -> records.StreamInterventionFailed:
    return records.StreamInterventionFailed(op_id=op_id, reason=reason)


def _matched(finding: Finding, site: Site) -> records.StreamRuleMatched:
    return records.StreamRuleMatched(
        match_id=finding.match_id,
        rule_id=finding.rule.id,
        version=finding.rule.version,
        channel=site.channel,
        message_id=site.message.message_id,
        attempt_id=site.message.attempt_id,
        start_chars=finding.start_chars,
        length_chars=finding.length_chars,
        digest=finding.digest,
    )


def _opener(op_id: str, finding: Finding) -> records.StreamInterventionRequested:
    return records.StreamInterventionRequested(
        op_id=op_id,
        match_id=finding.match_id,
        rule_id=finding.rule.id,
        version=finding.rule.version,
        action=finding.rule.action.kind,
    )
