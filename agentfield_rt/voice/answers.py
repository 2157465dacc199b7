"""Answers that the model gives by itself: what the caller heard of each, written down once it is over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.frames import BYTES_PER_MS
from agentfield_rt.voice.heard import HeardText

REMEMBERED_MAX = 64
"""Answers of which it is known which turn they were to: a tool may wait long to be approved."""

OPEN_MAX = 16
"""Answers that are generated or heard at once. The oldest is over when one more begins."""


@dataclass(slots=True)
class OwnAnswer:
    """One answer, to the turn `to`; `cut_ms` is how much of it was heard, once somebody stops it."""

    transcript: HeardText = field(default_factory=HeardText)
    audio_bytes: int = 0
    started_at: float | None = None
    cut_ms: int | None = None
    to: str | None = None


class OwnAnswers:
    """The answers of one session that no utterance asked for.

    Args:
        record: Writes a record of the session.
        keep: Puts text into the content store and returns its reference.

    Attributes:
        latest: The turn that the last of them answers.
        failed: The turn that the last of them was to answer, if it failed at the provider.
    """

    __slots__ = ("_keep", "_open", "_record", "_to", "failed", "latest")

    def __init__(self, record: Callable[[Record, str | None], None], keep: Callable[[str], str]) -> None:
        self._record = record
        self._keep = keep
        self._open: dict[str, OwnAnswer] = {}
        self._to: dict[str, str | None] = {}
        self.latest: str | None = None
        self.failed: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether any is generated or heard."""
        return bool(self._open)

    @property
    def heard_now(self) -> str | None:
        """The response that the caller is hearing."""
        for response_id, answer in self._open.items():
            if answer.started_at is not None and answer.cut_ms is None:
                return response_id
        return None

    def begin(self, response_id: str, *, to: str | None) -> None:
        """The model begins to answer; the turn `to` is the latest that it knows."""
        if len(self._open) >= OPEN_MAX:
            self.over(next(iter(self._open)))
        self._open.setdefault(response_id, OwnAnswer(to=to))
        self.latest, self.failed = to, None
        self._to[response_id] = to
        if len(self._to) > REMEMBERED_MAX:
            del self._to[next(iter(self._to))]

    def turn_of(self, response_id: str) -> str | None:
        """The turn that one of the last answers was to; None: it was nobody's, or it was none of these."""
        return self._to.get(response_id)

    def get(self, response_id: str) -> OwnAnswer | None:
        """One that is generated or heard."""
        return self._open.get(response_id)

    def add_text(self, response_id: str, text: str) -> None:
        if (answer := self._open.get(response_id)) is not None:
            audio_ms = answer.audio_bytes // BYTES_PER_MS or self.elapsed_ms(response_id)
            answer.transcript.append(text, audio_ms=audio_ms)

    def finish(self, response_id: str) -> None:
        """The model says no more in it."""
        if (answer := self._open.get(response_id)) is not None:
            answer.transcript.finish(audio_ms=answer.audio_bytes // BYTES_PER_MS)

    @property
    def ids(self) -> list[str]:
        """Those that are generated or heard."""
        return list(self._open)

    def start(self, response_id: str) -> None:
        """The caller begins to hear it."""
        answer = self._open.get(response_id)
        if answer is not None and answer.started_at is None:
            answer.started_at = asyncio.get_running_loop().time()

    def elapsed_ms(self, response_id: str) -> int:
        """How long the caller has been hearing it."""
        answer = self._open.get(response_id)
        if answer is None or answer.started_at is None:
            return 0
        return int((asyncio.get_running_loop().time() - answer.started_at) * 1000)

    def cut(self, response_id: str, heard_ms: int) -> None:
        """It is being stopped; the caller heard so much of it, and will hear no more."""
        if (answer := self._open.get(response_id)) is not None:
            answer.cut_ms = heard_ms

    def over(self, response_id: str, *, heard_ms: int | None = None, lost: bool = False) -> None:
        """The caller hears no more of it, and heard so much: None is all. `lost`: with the connection."""
        answer = self._open.get(response_id)
        if answer is None:
            return
        if answer.cut_ms is not None:
            heard_ms, lost = answer.cut_ms, False
        transcript = answer.transcript
        heard = transcript.whole if heard_ms is None else transcript.until(heard_ms)
        if heard_ms is None:
            heard_ms = answer.audio_bytes // BYTES_PER_MS or self.elapsed_ms(response_id)
        del self._open[response_id]
        self._record(
            records.ResponseHeard(
                response_id=response_id,
                heard_ms=heard_ms,
                heard_ref=self._keep(heard) if heard else None,
                lost=lost and not (transcript.is_finished and heard == transcript.whole),
                turn_id=answer.to,
            ),
            None,
        )

    def break_off(self, heard_ms: Callable[[str], int], *, lost: bool) -> None:
        """Those that are under way end here; `heard_ms` says how much of each was heard."""
        for response_id in list(self._open):
            self.over(response_id, heard_ms=heard_ms(response_id), lost=lost)
