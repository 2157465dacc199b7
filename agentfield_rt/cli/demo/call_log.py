"""What the events of a call add up to. Knows no sound."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class CallTurn:
    """A turn as the journal told it; times are wall time.

    Attributes:
        heard: What the agent recognised.
        said: What the caller heard of the answer, utterance by utterance.
    """

    heard: str
    understood: bool
    spoken_until_ns: int
    said: list[str] = field(default_factory=list[str])
    answer_started_ns: int | None = None
    is_over: bool = False


class CallLog:
    """Turns and utterances of one call, and a way to wait for what shall become of them."""

    def __init__(self) -> None:
        self.turns: dict[str, CallTurn] = {}
        self.close_reason: str | None = None
        self._failure: Exception | None = None
        self._open_utterances: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def is_quiet(self) -> bool:
        """Every turn is answered and every utterance is over."""
        return all(turn.is_over for turn in self.turns.values()) and not self._open_utterances

    def has_turn_since(self, at_ns: int) -> bool:
        """Whether something said after `at_ns` became a turn."""
        return any(turn.spoken_until_ns > at_ns for turn in self.turns.values())

    def take(self, record: Any) -> None:
        """Fold in one record of the event stream."""
        kind, data, at_ns = record["kind"], record["data"], int(record["at_ms"] * 1e6)
        texts: dict[str | None, str | None] = record.get("content") or {}
        turn = self.turns.get(record["turn_id"] or "")
        match kind:
            case "turn_started":
                heard = texts.get(data.get("text_ref")) or ""
                until_ns = data.get("spoken_until_ns") or at_ns
                self.turns[data["op_id"]] = CallTurn(heard, data["understood"], until_ns)
            case "turn_completed" | "turn_failed" if turn is not None:
                turn.is_over = True
            case "utterance_requested":
                self._open_utterances.add(data["op_id"])
            case "utterance_started" if turn is not None:
                turn.answer_started_ns = turn.answer_started_ns or at_ns
            case "utterance_played" | "utterance_interrupted" | "utterance_failed" | "utterance_skipped":
                self._open_utterances.discard(data["op_id"])
                if turn is not None and (said := texts.get(data.get("heard_ref"))):
                    turn.said.append(said)
            case "session_ended":
                self.close_reason = data["reason"]
            case _:
                return
        self.wake()

    def fail(self, failure: Exception) -> None:
        """Nothing more will be known; whoever waits gets `failure`."""
        self._failure = failure
        self.wake()

    def wake(self) -> None:
        """Look again at what is waited for."""
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once `holds`, or once the session is over."""
        while not holds() and self.close_reason is None:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()

    async def until_over(self) -> None:
        """Return once the session is over."""
        await self.until(lambda: False)
