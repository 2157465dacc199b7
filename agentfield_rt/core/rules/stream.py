"""One message as it streams: text goes in, what others may see comes out, and what the rules found.

Text is held back exactly as long as it may still become, or belong to, a match of a rule that keeps text
from others. How the text is cut into pieces changes neither what is found nor what comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from agentfield_rt.core.records.rules import Channel, Repeat
from agentfield_rt.core.rules.matching import Progress, Window
from agentfield_rt.core.rules.repeat import RepeatKey, RepeatKeys, place, repeat_key
from agentfield_rt.core.rules.rule import Marker, Mask, Message, PauseForApproval, Rule
from agentfield_rt.core.rules.ruleset import ReadyRule, RuleSet

PIECE_CHARS_MAX = 1_024
PAUSED_CHARS_MAX = 16_384
"""A message that waits for a decision and grows beyond this ends where it was paused."""

_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")


class StreamStatus(StrEnum):
    """Whether a message goes on."""

    OPEN = "open"
    PAUSED = "paused"
    STOPPED = "stopped"


class Hit(msgspec.Struct, frozen=True, gc=False, order=True):
    """A match, ordered by place. At one place markers come first, then what keeps text from others."""

    start: int
    is_text: bool
    is_watcher: bool
    order: int
    end: int
    digest: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A match as it is reported, once.

    Attributes:
        start_chars: Characters of the message before it.
        digest: What the stream's `digest` made of the matched text.
        intervenes: Whether the rule acts on it; otherwise it has acted as often as it may.
        key: What is to be remembered so that it does not act again.
    """

    rule: Rule
    match_id: str
    start_chars: int
    length_chars: int
    digest: str
    intervenes: bool
    key: RepeatKey | None


@dataclass(frozen=True, slots=True)
class Passed:
    """What came of a piece of text: what others may see of the message now, and what was found."""

    text: str = ""
    findings: tuple[Finding, ...] = ()

    def __add__(self, other: "Passed") -> "Passed":
        return Passed(self.text + other.text, self.findings + other.findings)


class StreamSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A stream at rest. `text` is held content: a place for it is the content store."""

    text: str
    base: int
    progress: tuple[tuple[int, int], ...]
    released: int
    covered: int
    waiting: tuple[Hit, ...]
    stop: int | None
    status: StreamStatus
    is_finished: bool


@dataclass(slots=True)
class _Output:
    parts: list[str] = field(default_factory=list[str])
    findings: list[Finding] = field(default_factory=list[Finding])

    def passed(self) -> Passed:
        return Passed("".join(self.parts), tuple(self.findings))


class RuleStream:
    """One message under its rules.

    Args:
        digest: A keyed hash; matched text goes there and nowhere else.
        repeats: The run's memory; what is found here is added to it.
    """

    def __init__(
        self,
        rules: RuleSet,
        channel: Channel,
        message: Message,
        *,
        repeats: RepeatKeys,
        digest: Callable[[str], str],
    ) -> None:
        self._ready: tuple[ReadyRule, ...] = rules.watching(channel, message)
        self._channel = channel
        self._message = message
        self._repeats = repeats
        self._digest = digest
        self._window = Window()
        self._progress = [Progress() for _ in self._ready]
        self._waiting: list[Hit] = []
        self._released = 0
        self._covered = 0
        self._stop: int | None = None
        self._status = StreamStatus.OPEN
        self._is_finished = False

    @property
    def status(self) -> StreamStatus:
        return self._status

    @property
    def held_chars(self) -> int:
        """How much of the message is here and not passed on."""
        return max(self._window.end - self._released, 0) if self._status is not StreamStatus.STOPPED else 0

    @property
    def held(self) -> str:
        """What is here and not passed on, unmasked: for whoever decides about a pause."""
        if self._status is StreamStatus.STOPPED:
            return ""
        return self._window.text[max(self._released - self._window.base, 0) :]

    def feed(self, text: str) -> Passed:
        """Take the next piece of the message. Half of a surrogate pair becomes U+FFFD."""
        if self._is_finished:
            return Passed()
        text, output = text.translate(_SURROGATES), _Output()
        for begin in range(0, len(text), PIECE_CHARS_MAX):
            piece = text[begin : begin + PIECE_CHARS_MAX]
            self._window = Window(self._window.text + piece, self._window.base)
            self._advance(output)
        return output.passed()

    def mark(self, name: str, version: int = 1) -> Passed:
        """Something was said about the message at this place."""
        output, here = _Output(), self._window.end
        marker = Marker(name, version)
        if not self._is_finished:
            for order, ready in enumerate(self._ready):
                if ready.rule.matcher == marker:
                    self._waiting.append(
                        Hit(here, False, not ready.rule.is_guard, order, here, self._digest(""))
                    )
            self._settle(output)
        return output.passed()

    def finish(self) -> Passed:
        """The message is complete: what was held for what might have followed is decided."""
        output = _Output()
        if not self._is_finished:
            self._is_finished = True
            self._advance(output)
        return output.passed()

    def decide(self, *, approved: bool) -> Passed:
        """End a pause: the message goes on, or it ended where it was paused."""
        output = _Output()
        if self._status is StreamStatus.PAUSED:
            if approved:
                self._status, self._stop = StreamStatus.OPEN, None
            else:
                self._status = StreamStatus.STOPPED
            self._settle(output)
        return output.passed()

    def snapshot(self) -> StreamSnapshot:
        """All of its state but the run's repeat keys."""
        return StreamSnapshot(
            text=self._window.text,
            base=self._window.base,
            progress=tuple((one.decided, one.matched) for one in self._progress),
            released=self._released,
            covered=self._covered,
            waiting=tuple(self._waiting),
            stop=self._stop,
            status=self._status,
            is_finished=self._is_finished,
        )

    def restore(self, snapshot: StreamSnapshot) -> None:
        """Go on where `snapshot` was taken.

        Raises:
            ValueError: It is of a stream under other rules.
        """
        if len(snapshot.progress) != len(self._ready):
            raise ValueError("the snapshot was taken under other rules")
        self._window = Window(snapshot.text, snapshot.base)
        self._progress = [Progress(*one) for one in snapshot.progress]
        self._released, self._covered = snapshot.released, snapshot.covered
        self._waiting = list(snapshot.waiting)
        self._stop, self._status = snapshot.stop, snapshot.status
        self._is_finished = snapshot.is_finished

    # From here on: what is decided, what is done about it, what is let go.

    def _advance(self, output: _Output) -> None:
        """Let the rules see what is new."""
        for order, ready in enumerate(self._ready):
            if not self._looks_on(order, ready):
                continue
            assert ready.matcher is not None
            spans, progress = ready.matcher.scan(self._window, self._progress[order], final=self._is_finished)
            self._progress[order] = progress
            for start, end in spans:
                matched = self._window.text[start - self._window.base : end - self._window.base]
                self._waiting.append(
                    Hit(start, True, not ready.rule.is_guard, order, end, self._digest(matched))
                )
        self._settle(output)

    def _looks_on(self, order: int, ready: ReadyRule) -> bool:
        """After the end of what is passed on, only those that have not come so far, and only till there."""
        if ready.matcher is None:
            return False
        if self._status is not StreamStatus.STOPPED:
            return True
        assert self._stop is not None
        return not ready.rule.is_guard and self._progress[order].decided < self._stop

    def _settle(self, output: _Output) -> None:
        """Act on what is decided, in the order of the text, and pass on what is safe."""
        if self._status is StreamStatus.PAUSED and self.held_chars > PAUSED_CHARS_MAX:
            self._status = StreamStatus.STOPPED
        safe = self._safe()
        waiting, self._waiting = sorted(self._waiting), []
        for hit in waiting:
            is_due = hit.start < safe or (hit.start == safe and not hit.is_text)
            if self._stop is not None and hit.start >= self._stop:
                if self._status is StreamStatus.PAUSED:
                    self._waiting.append(hit)
            elif is_due:
                self._act(self._ready[hit.order].rule, hit, output)
            else:
                self._waiting.append(hit)
        if self._status is StreamStatus.OPEN:
            self._release(safe, output)
        self._trim()

    def _safe(self) -> int:
        """Before this place the rules that keep text from others know all their matches."""
        guards = (
            progress.decided
            for progress, ready in zip(self._progress, self._ready, strict=True)
            if ready.rule.is_guard and ready.matcher is not None
        )
        return min(guards, default=self._window.end)

    def _act(self, rule: Rule, hit: Hit, output: _Output) -> None:
        """Report a match and do to the text what its rule says."""
        key = repeat_key(rule, self._channel, self._message, span=(hit.start, hit.end))
        is_known = key is not None and key in self._repeats
        is_same_place = is_known and rule.repeat is Repeat.ONCE_PER_ATTEMPT_AND_SPAN
        if not is_same_place:
            output.findings.append(self._finding(rule, hit, key, intervenes=not is_known))
            if key is not None:
                self._repeats.add(key)
        if not rule.is_guard or (is_known and not is_same_place):
            return
        self._release(hit.start, output)
        if isinstance(rule.action, Mask):
            if hit.start >= self._covered:
                output.parts.append(rule.action.replacement)
            self._covered = max(self._covered, hit.end)
            return
        self._stop = hit.start
        may_go_on = isinstance(rule.action, PauseForApproval) and not is_same_place
        self._status = StreamStatus.PAUSED if may_go_on else StreamStatus.STOPPED

    def _finding(self, rule: Rule, hit: Hit, key: RepeatKey | None, *, intervenes: bool) -> Finding:
        span = (hit.start, hit.end)
        return Finding(
            rule=rule,
            match_id=f"{rule.id}/{rule.version}/{place(self._channel, self._message, span)}",
            start_chars=hit.start,
            length_chars=hit.end - hit.start,
            digest=hit.digest,
            intervenes=intervenes,
            key=key if intervenes else None,
        )

    def _release(self, until: int, output: _Output) -> None:
        """Pass on the text before `until`, but for what a mask covers."""
        begin = max(self._released, self._covered)
        if until > begin:
            output.parts.append(self._window.text[begin - self._window.base : until - self._window.base])
        self._released = max(self._released, until)

    def _trim(self) -> None:
        """Keep what is not passed on or not decided, and one character before it."""
        needed = [
            progress.decided
            for order, (progress, ready) in enumerate(zip(self._progress, self._ready, strict=True))
            if self._looks_on(order, ready)
        ]
        if self._status is not StreamStatus.STOPPED:
            needed.append(self._released)
        keep = max(min(needed, default=self._window.end) - 1, self._window.base)
        self._window = Window(self._window.text[keep - self._window.base :], keep)
