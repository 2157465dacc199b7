"""A session's rules at work on messages: registered once, one stream per message, nothing across two.

Knows no provider events; what a message is and who may see it is `rules`' business.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.core.records.rules import Channel
from agentfield_rt.core.rules.history import RulesState, closing
from agentfield_rt.core.rules.repeat import RepeatKeys
from agentfield_rt.core.rules.rule import Message, Rule
from agentfield_rt.core.rules.ruleset import RuleSet, compile_rules
from agentfield_rt.core.rules.stream import Passed, RuleStream, StreamStatus
from agentfield_rt.core.rules.syntax import RefusedRule
from agentfield_rt.errors import SessionClosed
from agentfield_rt.idle import Few
from agentfield_rt.run import Run
from agentfield_rt.voice.interventions import Interventions, Reach, Site
from agentfield_rt.voice.spec import SessionSpec
from agentfield_rt.voice.utterance import Utterance

KEY_BYTES = 32
DIGEST_CHARS = 32

Told = Callable[[str, bool], None]
"""Gets what may be seen of a message, and whether the message goes on to its end."""


@dataclass(slots=True, eq=False)
class _Whole:
    """A message that is here in full, and what its rules let through so far."""

    stream: RuleStream
    site: Site
    then: Told
    text: str = ""
    is_told: bool = False


class Watch:
    """The rules of one session over all of its messages."""

    def __init__(self, spec: SessionSpec, run: Run, *, reach: Reach, keep: Callable[[str], str]) -> None:
        self._declared = spec.stream_rules
        self._run = run
        self._session_id = spec.session_id
        self._turns = reach.turns
        self._keep = keep
        self._interventions = Interventions(run, spec.session_id, reach=reach, keep=keep)
        self._rules = RuleSet()
        self._repeats = RepeatKeys(once=run.intervened_once)
        self._key = b""
        self._answers = Few[asyncio.Future[tuple[str, bool]]]()
        self._is_closed = False

    @property
    def is_on(self) -> bool:
        """Whether there are rules."""
        return bool(self._rules.ready)

    def register(self, started: Record | None, state: RulesState | None, key: bytes | None) -> None:
        """See `SessionRules.register`."""
        written: list[Record] = [] if started is None else [started]
        if not self._declared:
            if written:
                self._interventions.write(written)
            return
        try:
            self._rules = compile_rules(self._declared)
        except RefusedRule as refused:
            failed = records.StreamRuleCompileFailed(
                rule_id=refused.rule_id, version=refused.version, refusal=refused.refusal
            )
            self._interventions.write([failed])
            raise
        self._key = key or secrets.token_hex(KEY_BYTES).encode()
        key_ref = state.key_ref if state is not None and key is not None else None
        key_ref = key_ref or self._keep(self._key.decode())
        if state is not None:
            self._repeats = RepeatKeys(state.keys, once=self._run.intervened_once)
            written += closing(state)
        self._interventions.write([*written, *(self._registered(rule, key_ref) for rule in self._declared)])

    async def close(self) -> None:
        """Nobody sees what is still held, and whoever waits for it learns why."""
        self._is_closed = True
        try:
            await self._interventions.close()
        finally:
            for answer in list(self._answers):
                if not answer.done():
                    answer.set_exception(SessionClosed(f"session {self._session_id} is over"))

    def preview(self, item_id: str) -> RuleStream:
        """A stream of what will come again in full: it shows no more, and nobody hears of its matches."""
        message = self._message(Channel.REALTIME_TRANSCRIPT, item_id)
        return RuleStream(
            self._rules, Channel.REALTIME_TRANSCRIPT, message, repeats=RepeatKeys(), digest=lambda _: ""
        )

    def speech(
        self, response_id: str, item_id: str, utterance: Utterance | None, *, tell: Callable[[str], None]
    ) -> tuple[RuleStream, Site]:
        """A stream of what the agent says; after a pause `tell` gets what may be seen."""
        message = Message(
            run_id=self._run.run_id,
            message_id=item_id,
            session_id=self._session_id,
            turn_id=utterance.turn_id if utterance is not None else None,
            attempt_id=response_id,
        )
        stream = self._stream(Channel.ASSISTANT_TEXT, message)

        def resume(approved: bool) -> None:
            passed = stream.decide(approved=approved)
            if passed.text:
                tell(passed.text)
            self.act(passed, site)

        site = Site(
            channel=Channel.ASSISTANT_TEXT,
            message=message,
            turn_id=message.turn_id,
            utterance=utterance,
            held=lambda: stream.held,
            resume=resume,
        )
        return stream, site

    def check(self, channel: Channel, message_id: str, text: str, *, then: Told) -> None:
        """Go through a whole message; `then` is called once, now or when somebody has decided."""
        message = self._message(channel, message_id)
        stream = self._stream(channel, message)

        def resume(approved: bool) -> None:
            self._go_on(whole, stream.decide(approved=approved))

        site = Site(
            channel=channel,
            message=message,
            turn_id=self._turn_id(),
            utterance=None,
            held=lambda: stream.held,
            resume=resume,
        )
        whole = _Whole(stream, site, then)
        self._go_on(whole, stream.feed(text) + stream.finish())

    async def answer(self, channel: Channel, message_id: str, text: str) -> tuple[str, bool]:
        """`check`, for whoever can wait.

        Raises:
            SessionClosed: the session ended before somebody decided.
        """
        if not self.is_on:
            return text, True
        answer: asyncio.Future[tuple[str, bool]] = asyncio.get_running_loop().create_future()
        self._answers.add(answer)

        def then(passed: str, is_whole: bool) -> None:
            if not answer.done():
                answer.set_result((passed, is_whole))

        try:
            self.check(channel, message_id, text, then=then)
            return await answer
        finally:
            self._answers.discard(answer)

    def act(self, passed: Passed, site: Site) -> None:
        """Record what was found and do what the rules ask for."""
        for finding in passed.findings:
            self._interventions.act(finding, site)

    def withhold(self, call_id: str, output: str) -> None:
        """Answer a tool call that does not come to run."""
        self._interventions.answer_tool(call_id, output)

    def _go_on(self, whole: _Whole, passed: Passed) -> None:
        whole.text += passed.text
        self.act(passed, whole.site)
        if whole.stream.status is StreamStatus.PAUSED or whole.is_told or self._is_closed:
            return
        whole.is_told = True
        whole.then(whole.text, whole.stream.status is StreamStatus.OPEN)

    def _stream(self, channel: Channel, message: Message) -> RuleStream:
        return RuleStream(self._rules, channel, message, repeats=self._repeats, digest=self._digest)

    def _message(self, channel: Channel, message_id: str) -> Message:
        """What the user says is a turn of its own; a tool is called within one."""
        is_turn = channel is Channel.REALTIME_TRANSCRIPT
        turn_id = message_id if is_turn else self._turn_id()
        return Message(
            run_id=self._run.run_id, message_id=message_id, session_id=self._session_id, turn_id=turn_id
        )

    def _turn_id(self) -> str | None:
        """The turn that is being answered."""
        return turn.id if (turn := self._turns.current) is not None else None

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:DIGEST_CHARS]

    def _registered(self, rule: Rule, key_ref: str) -> records.StreamRuleRegistered:
        definition: dict[str, Any] = {"rule": rule, "matcher": rule.matcher.kind, "action": rule.action.kind}
        written = msgspec.json.encode(definition).decode()
        return records.StreamRuleRegistered(
            rule_id=rule.id,
            version=rule.version,
            matcher=rule.matcher.kind,
            channels=rule.channels,
            scope=rule.scope,
            action=rule.action.kind,
            repeat=rule.repeat,
            window_chars=rule.window_chars,
            digest=self._digest(written),
            definition_ref=self._keep(written),
            key_ref=key_ref,
        )
