"""Rules on a voice session's text: they stand before everybody who would see it.

Provider events come in, and go on to the session with the text that may be seen. Audio goes past: what the
provider has spoken a rule cannot unsay, only stop.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from agentfield_journal import ContentGone, ContentStore
from agentfield_rt.core.records import Record
from agentfield_rt.core.records.rules import Channel
from agentfield_rt.core.rules.history import RulesState, rules_state
from agentfield_rt.core.rules.stream import Passed, RuleStream
from agentfield_rt.errors import IllegalCommand
from agentfield_rt.frames import (
    InputRejected,
    InputTranscript,
    Notice,
    OutputTranscript,
    PlaybackStopped,
    ProviderEvent,
    ResponseEnded,
    ToolCalled,
    ToolResultFrame,
)
from agentfield_rt.idle import Recent
from agentfield_rt.run import Run
from agentfield_rt.voice.interventions import Reach, Site
from agentfield_rt.voice.spec import SessionSpec
from agentfield_rt.voice.utterance import Utterance
from agentfield_rt.voice.watching import Watch

LIVE_MAX = 64
"""Messages that stream at once. The oldest goes, with what it holds."""

OVER_MAX = 256
"""Responses and calls remembered once they are over. A provider repeats one, if at all, soon after."""

WITHHELD = '{"error": "a rule of this session withholds it"}'
"""What the model gets in place of a tool's result, or of a call, that a rule stopped."""


@dataclass(slots=True, eq=False)
class _Speech:
    """A response's words as they come, one stream for each of its items."""

    utterance: Utterance | None
    streams: dict[str, tuple[RuleStream, Site]] = field(default_factory=dict[str, tuple[RuleStream, Site]])


class SessionRules:
    """The rules of one session.

    Args:
        reach: What they can do to the session.
        deliver: Takes a provider event on behalf of everybody behind the rules.
        keep: Puts text into the content store and returns its reference.
    """

    def __init__(
        self,
        spec: SessionSpec,
        run: Run,
        reach: Reach,
        *,
        deliver: Callable[[ProviderEvent], None],
        keep: Callable[[str], str],
    ) -> None:
        self._watch = Watch(spec, run, reach=reach, keep=keep)
        self._reach = reach
        self._deliver = deliver
        self._speech: OrderedDict[str, _Speech] = OrderedDict()
        self._previews: OrderedDict[str, RuleStream] = OrderedDict()
        self._over = Recent(OVER_MAX)
        self._calls = Recent(OVER_MAX)

    def register(
        self, started: Record | None, state: RulesState | None = None, key: bytes | None = None
    ) -> None:
        """Write down that the session exists and which rules hold in it, in one batch, and begin.

        Args:
            started: The session's first record; None if it has that already.
            state: What the run's journal tells of its rules, when the session goes on after a crash.
            key: The content of its `key_ref`; without it the hashes begin anew.

        Raises:
            RefusedRule: One cannot be held; that is written down instead, and no session exists.
        """
        self._watch.register(started, state, key)

    async def go_on(self, history: Iterable[Record], content: ContentStore) -> None:
        """Begin in a session that another process left: what a rule did once in the run it does not do again.

        Raises:
            RefusedRule: see `register`.
        """
        state, key = rules_state(history), None
        if state.key_ref is not None:
            with contextlib.suppress(ContentGone):
                key = await content.get(state.key_ref)
        self.register(None, state, key)

    async def close(self) -> None:
        """The session is over: nobody sees what is still held."""
        await self._watch.close()

    def take(self, event: ProviderEvent) -> None:
        """Take a provider event and deliver what may be seen of it, now or when somebody has decided."""
        for passed in self._passed(event) if self._watch.is_on else (event,):
            self._deliver(passed)

    async def typed(self, turn_id: str, text: str) -> str:
        """What may be seen of a turn that the user typed.

        Raises:
            IllegalCommand: nothing.
            SessionClosed: the session ended before somebody decided.
        """
        passed, _ = await self._watch.answer(Channel.REALTIME_TRANSCRIPT, turn_id, text)
        if text and not passed:
            raise IllegalCommand("a rule of this session lets nothing of this turn pass")
        return passed

    async def arguments(self, call_id: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """What may be seen of the arguments with which somebody else than the model calls a tool.

        Raises:
            IllegalCommand: too little for a call.
            SessionClosed: the session ended before somebody decided.
        """
        plain = msgspec.json.encode(arguments).decode()
        text, is_whole = await self._watch.answer(Channel.TOOL_CALL_ARGUMENTS, call_id, plain)
        if text == plain:
            return arguments
        with contextlib.suppress(msgspec.MsgspecError):
            if is_whole:
                return msgspec.json.decode(text, type=dict[str, Any])
        raise IllegalCommand("a rule of this session stops this call")

    async def answer_tool(self, frame: ToolResultFrame) -> None:
        """Send a tool's result to the model, as far as it may be seen."""
        text, is_whole = await self._watch.answer(Channel.TOOL_RESULT_TEXT, frame.call_id, frame.output)
        if not is_whole:
            text = WITHHELD
        elif text != frame.output and not _is_json(text):
            text = msgspec.json.encode(text).decode()
        await self._reach.send(replace(frame, output=text))

    def _passed(self, event: ProviderEvent) -> Iterator[ProviderEvent]:
        match event:
            case OutputTranscript(response_id, item_id, text):
                if spoken := self._say(response_id, item_id, lambda stream: stream.feed(text)):
                    yield replace(event, text=spoken)
            case ResponseEnded(response_id) | PlaybackStopped(response_id):
                yield from self._rest(response_id)
                yield event
            case Notice(name):
                yield from self._marked(name)
                yield event
            case InputTranscript(item_id, text, final=False):
                if seen := self._preview(item_id).feed(text).text:
                    yield replace(event, text=seen)
            case InputTranscript():
                self._heard(event)
            case InputRejected(item_id):
                self._previews.pop(item_id, None)
                yield event
            case ToolCalled():
                self._called(event)
            case _:
                yield event

    # What the agent says.

    def _say(self, response_id: str, item_id: str, feed: Callable[[RuleStream], Passed]) -> str:
        if response_id in self._over:
            return ""
        speech = self._speech.get(response_id)
        if speech is None:
            current = self._reach.utterances.current
            is_its = current is not None and current.response_id == response_id
            speech = self._speech[response_id] = _Speech(current if is_its else None)
            if len(self._speech) > LIVE_MAX:
                self._over.add(self._speech.popitem(last=False)[0])
        if item_id not in speech.streams:
            speech.streams[item_id] = self._watch.speech(
                response_id,
                item_id,
                speech.utterance,
                tell=lambda text: self._deliver(OutputTranscript(response_id, item_id, text)),
            )
        stream, site = speech.streams[item_id]
        passed = feed(stream)
        self._watch.act(passed, site)
        return passed.text

    def _rest(self, response_id: str) -> Iterable[OutputTranscript]:
        """What was held of a response that is complete. What comes of it later, nobody sees."""
        if (speech := self._speech.get(response_id)) is None:
            return ()
        rest = [(item_id, self._say(response_id, item_id, RuleStream.finish)) for item_id in speech.streams]
        del self._speech[response_id]
        self._over.add(response_id)
        return [OutputTranscript(response_id, item_id, text) for item_id, text in rest if text]

    def _marked(self, name: str) -> Iterable[OutputTranscript]:
        """An event without a meaning of its own is a marker in what is being said."""
        current = self._reach.utterances.current
        if current is None or current.response_id is None:
            return ()
        speech = self._speech.get(current.response_id)
        item_id = next(reversed(speech.streams)) if speech is not None else ""
        text = self._say(current.response_id, item_id, lambda stream: stream.mark(name))
        return (OutputTranscript(current.response_id, item_id, text),) if text else ()

    # What the user says, and what the model asks for.

    def _preview(self, item_id: str) -> RuleStream:
        """What is shown of a turn while it is being said. It is gone through in earnest when complete."""
        if item_id not in self._previews:
            self._previews[item_id] = self._watch.preview(item_id)
            if len(self._previews) > LIVE_MAX:
                self._previews.popitem(last=False)
        return self._previews[item_id]

    def _heard(self, event: InputTranscript) -> None:
        def then(text: str, _: bool) -> None:
            self._deliver(replace(event, text=text))

        self._previews.pop(event.item_id, None)
        self._watch.check(Channel.REALTIME_TRANSCRIPT, event.item_id, event.text, then=then)

    def _called(self, event: ToolCalled) -> None:
        """Notation is no hiding place: the rules see the arguments as they are written plainly."""
        if event.call_id in self._calls:
            return
        self._calls.add(event.call_id)
        try:
            plain = msgspec.json.encode(msgspec.json.decode(event.arguments or "{}")).decode()
        except msgspec.MsgspecError:
            self._deliver(event)  # nobody keeps or runs what is no JSON
            return

        def then(text: str, is_whole: bool) -> None:
            if is_whole and _is_json(text):
                self._deliver(replace(event, arguments=text))
            else:
                self._watch.withhold(event.call_id, WITHHELD)

        self._watch.check(Channel.TOOL_CALL_ARGUMENTS, event.call_id, plain, then=then)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return False
    return True
