"""What was said in a session and what new connections were told of it: invariant 52.

Counts, since words are content: what a connection was told and what was left out of it is what had been said.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from agentfield_journal import Envelope
from agentfield_rt.audit.payloads import Data
from agentfield_rt.audit.report import Code, Findings, shown

CALLS_MAX = 10_000
"""Calls of tools that are remembered of a session, newest first to stay."""


@dataclass(slots=True)
class _Said:
    """One session's conversation.

    Attributes:
        items: How much was said.
        begun: Utterances that broke off with a connection and are not over, by how much of each was heard.
        waiting: Calls of tools that the model has no output of.
        at_restart: `items` and the number of `waiting` when the latest restart began.
    """

    items: int = 0
    begun: dict[str, int] = field(default_factory=dict[str, int])
    waiting: dict[str, None] = field(default_factory=dict[str, None])
    answered: dict[str, None] = field(default_factory=dict[str, None])
    at_restart: tuple[int, int] = (0, 0)
    connection_id: str | None = None


class ConversationChecks:
    """Follows what is said through a run."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._sessions: dict[str, _Said] = {}

    def take(self, envelope: Envelope, data: Data) -> None:
        """Follow one record."""
        step = _STEPS.get(envelope.kind)
        if step is None or envelope.session_id is None:
            return
        said = self._sessions.setdefault(envelope.session_id, _Said())
        if (problem := step(said, data)) is not None:
            self._findings.add(Code.CONVERSATION_DIFFERS, problem)


def _item(ref: str) -> Callable[[_Said, Data], str | None]:
    """An item whose words are in the field `ref`, if it has any."""

    def count(said: _Said, data: Data) -> str | None:
        said.items += data.get(ref) is not None
        return None

    return count


def _broke_off(said: _Said, data: Data) -> str | None:
    utterance_id, heard_ms = data["utterance_id"], data["heard_ms"]
    heard_before_ms = said.begun.get(utterance_id)
    if data.get("heard_ref") is not None:
        said.items += heard_before_ms is None
        said.begun[utterance_id] = heard_ms
    if heard_before_ms is not None and heard_ms < heard_before_ms:
        return f"Less was heard of {shown(utterance_id)} than when it broke off before."
    return None


def _is_over(said: _Said, data: Data) -> str | None:
    was_begun = said.begun.pop(data["op_id"], None) is not None
    said.items += data.get("heard_ref") is not None and not was_begun
    return None


def _called(said: _Said, data: Data) -> str | None:
    said.items += 1
    _remember(said.waiting, data["call_id"])
    return None


def _answered(said: _Said, data: Data) -> str | None:
    call_id = data["call_id"]
    said.items += 1
    said.waiting.pop(call_id, None)
    if call_id in said.answered:
        return f"The model is told the output of {shown(call_id)} a second time."
    _remember(said.answered, call_id)
    return None


def _remember(call_ids: dict[str, None], call_id: str) -> None:
    call_ids[call_id] = None
    if len(call_ids) > CALLS_MAX:
        del call_ids[next(iter(call_ids))]


def _restarting(said: _Said, data: Data) -> str | None:
    said.at_restart = said.items, len(said.waiting)
    return None


def _restarted(said: _Said, data: Data) -> str | None:
    said.connection_id = data["connection_id"]
    return None


def _restored(said: _Said, data: Data) -> str | None:
    if data["connection_id"] != said.connection_id:
        return "It is not about the connection that has just been made."
    said.connection_id = None  # it is told once
    told = data["restored"] + data.get("left_out", 0)
    least, waiting = said.at_restart
    # What waits may be told as cancelled, and what broke off be followed by a note that says so.
    if not least <= told <= least + waiting + 1:
        return f"{told} items were told or left out; {least} had been said."
    return None


_STEPS: dict[str, Callable[[_Said, Data], str | None]] = {
    "turn_started": _item("text_ref"),
    "stream_rule_injection_appended": _item("text_ref"),
    "response_heard": _item("heard_ref"),
    "utterance_resumed": _broke_off,
    "utterance_played": _is_over,
    "utterance_interrupted": _is_over,
    "utterance_failed": _is_over,
    "utterance_skipped": _is_over,
    "tool_call_received": _called,
    "tool_call_answered": _answered,
    "realtime_restart_started": _restarting,
    "realtime_restart_completed": _restarted,
    "realtime_conversation_restored": _restored,
}
