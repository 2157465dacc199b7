"""One realtime session: its phases, cursors, gate, connections and responses, invariants 20 and 24 to 35."""

from collections import OrderedDict
from collections.abc import Callable

from agentfield_journal import Envelope
from agentfield_rt.audit.operations import Opened, Operations, Step
from agentfield_rt.audit.payloads import Data
from agentfield_rt.audit.report import Code, Findings, shown
from agentfield_rt.audit.tables import AT_REST, PHASES, REPEATS_AN_EFFECT, TERMINAL

RESPONSES_MAX = 256
"""Responses of a session that are remembered, newest first to stay."""

_DEFAULT_LIMITS: Data = {"high_water": 512, "restarts_max": 16}


class SessionAudit:
    """Follows one session through the run."""

    def __init__(self, session_id: str, findings: Findings, operations: Operations) -> None:
        self.session_id = session_id
        self._findings = findings
        self._operations = operations
        self.phase = "idle"
        self.moved_seq = 0
        self._limits = _DEFAULT_LIMITS
        self._cursors = {"send": 0, "receive": 0}
        self._restarts = 0
        self._connection_ids: set[str] = set()
        self._gated: OrderedDict[str, int] = OrderedDict()
        self._responses: OrderedDict[str, bool] = OrderedDict()
        self._asked_seq: int | None = None
        self._restarted_seq = 0

    @property
    def is_live(self) -> bool:
        """Whether the provider may still be connected."""
        return self.phase not in AT_REST

    def take(self, envelope: Envelope, data: Data, step: Step) -> None:
        """Follow one record of the provider boundary whose operation is sound."""
        kind = envelope.kind
        if kind in REPEATS_AN_EFFECT:
            for doubt in self._operations.in_doubt(self.session_id):
                if not doubt.kind.startswith("realtime_"):
                    continue  # a delivery in doubt stops deliveries under its key, not the call
                self._add(
                    Code.WENT_PAST_DOUBT, f"{kind} comes before {doubt.kind} (seq {doubt.seq}) is settled."
                )
                break
        self._check_restart(kind, envelope.seq)
        if not self._move(kind, envelope.seq):
            return
        effect = _EFFECTS.get(kind)
        if effect is not None:
            effect(self, envelope, data, step.closed)
        if self.phase in TERMINAL and self._gated:
            for frame_id, seq in self._gated.items():
                self._add(Code.FRAME_WITHOUT_FATE, f"Frame {shown(frame_id)} still waits since record {seq}.")
            self._gated.clear()

    def _move(self, kind: str, seq: int) -> bool:
        steps = PHASES[kind]
        target = steps.get(self.phase)
        if target is not None:
            if target != self.phase:
                self.phase, self.moved_seq = target, seq
            return True
        if kind == "realtime_input_send_requested" and self.phase == "restarting":
            self._add(Code.SENT_WHILE_RESTARTING, "Something is sent while the connection is being replaced.")
            return True
        self._add(Code.IMPOSSIBLE_PHASE, f"{kind} is not possible in phase {self.phase}.")
        if self.phase in TERMINAL:
            return False
        targets = set(steps.values())
        if len(targets) == 1:  # go on as if the record were right: one finding is enough
            self.phase, self.moved_seq = targets.pop(), seq
        return True

    def _check_restart(self, kind: str, seq: int) -> None:
        """The wish for a restart and its beginning are one batch."""
        asked_seq, self._asked_seq = self._asked_seq, seq if kind == "realtime_restart_requested" else None
        if kind == "realtime_restart_started" and asked_seq != seq - 1:
            self._add(Code.RESTART_NOT_STARTED, "No realtime_restart_requested stands right before it.")
        elif kind != "realtime_restart_started" and asked_seq is not None:
            problem = f"No realtime_restart_started follows record {asked_seq}, which asks for one."
            self._add(Code.RESTART_NOT_STARTED, problem)

    def _add(self, code: Code, problem: str) -> None:
        self._findings.add(code, problem)

    def _connecting(self, envelope: Envelope, data: Data, _: Opened | None) -> None:
        self._limits = {**_DEFAULT_LIMITS, **data.get("limits", {})}

    def _connected(self, envelope: Envelope, data: Data, _: Opened | None) -> None:
        connection_id = data["connection_id"]
        if connection_id in self._connection_ids:
            self._add(Code.CONNECTION_ID_REPEATED, "The session had a connection of this id before.")
        self._connection_ids.add(connection_id)

    def _restarting(self, envelope: Envelope, data: Data, _: Opened | None) -> None:
        self._restarts += 1
        self._restarted_seq = envelope.seq
        most = self._limits["restarts_max"]
        if self._restarts > most:
            self._add(
                Code.RESTARTED_TOO_OFTEN, f"It is restart {self._restarts} of a session that may have {most}."
            )

    def _restarted(self, envelope: Envelope, data: Data, opened: Opened | None) -> None:
        self._connected(envelope, data, opened)
        for response_id in self._responses:
            self._responses[response_id] = True

    def _sent(self, envelope: Envelope, data: Data, opened: Opened | None) -> None:
        window = data.get("window")
        frames = 1 if window is None else window["frames"]
        if opened is not None and frames > opened.data.get("frames_max", 1):
            self._add(Code.WRONG_CURSOR, f"{frames} frames were sent, more than had been announced.")
        self._count("send", frames, data["cursor"])

    def _sent_in_part(self, envelope: Envelope, data: Data, opened: Opened | None) -> None:
        window = data.get("window")
        if window is None:
            return
        if opened is not None and window["frames"] >= opened.data.get("frames_max", 1):
            self._add(Code.WRONG_CURSOR, "All was sent that had been announced, and it did not end well.")
        self._cursors["send"] += window["frames"]

    def _received(self, envelope: Envelope, data: Data, opened: Opened | None) -> None:
        events: dict[str, int] = data.get("events", {})
        count = sum(events.values())
        self._count("receive", count, data["cursor"])
        for response_id in data.get("started", ()):
            self._responses.setdefault(response_id, False)
        while len(self._responses) > RESPONSES_MAX:
            self._responses.popitem(last=False)

    def _count(self, which: str, by: int, cursor: int) -> None:
        expected = self._cursors[which] + by
        if cursor != expected:
            self._add(Code.WRONG_CURSOR, f"The {which} cursor is {cursor}; the records come to {expected}.")
        self._cursors[which] = cursor

    def _interrupting(self, envelope: Envelope, data: Data, _: Opened | None) -> None:
        response_id = data["response_id"]
        if self._responses.get(response_id, True):
            self._add(Code.WRONG_RESPONSE, f"Response {shown(response_id)} was not active.")
        self._responses[response_id] = True

    def _interrupted(self, envelope: Envelope, data: Data, opened: Opened | None) -> None:
        if opened is not None and data["response_id"] != opened.data["response_id"]:
            self._add(Code.WRONG_RESPONSE, "It names another response than its opener.")

    def _not_interrupted(self, envelope: Envelope, data: Data, opened: Opened | None) -> None:
        # A restart in between has silenced it all the same; then it stays interrupted.
        if opened is not None and opened.seq > self._restarted_seq:
            self._responses[opened.data["response_id"]] = False

    def _late(self, envelope: Envelope, data: Data, _: Opened | None) -> None:
        if not self._responses.get(data["response_id"], False):
            self._add(Code.WRONG_RESPONSE, f"Response {shown(data['response_id'])} was not interrupted.")

    def _gate(self, envelope: Envelope, data: Data, _: Opened | None) -> None:
        frame_id, most = data["frame_id"], self._limits["high_water"]
        if frame_id in self._gated:
            self._add(Code.GATE_ORDER, f"Frame {shown(frame_id)} waits already.")
        self._gated[frame_id] = envelope.seq
        if len(self._gated) > most:
            self._add(Code.GATE_OVERFULL, f"{len(self._gated)} frames wait where {most} may.")

    def _release(self, envelope: Envelope, data: Data, _: Opened | None) -> None:
        if next(iter(self._gated), None) != data["frame_id"]:
            self._add(Code.GATE_ORDER, f"Frame {shown(data['frame_id'])} is released out of turn.")
        self._gated.pop(data["frame_id"], None)

    def _drop(self, envelope: Envelope, data: Data, _: Opened | None) -> None:
        if self._gated.pop(data["frame_id"], None) is None:
            self._add(Code.GATE_ORDER, f"Frame {shown(data['frame_id'])} is dropped and did not wait.")

    def _closed(self, envelope: Envelope, data: Data, opened: Opened | None) -> None:
        if opened is None:
            return
        reason = data.get("reason", "host_owned_detach")  # `realtime_detached` has none of its own
        if reason != opened.data["reason"]:
            self._add(
                Code.CLOSE_REASON_DIFFERS, f"It ends with {reason}; asked for was {opened.data['reason']}."
            )


_Effect = Callable[[SessionAudit, Envelope, Data, Opened | None], None]

# pyright: reportPrivateUsage=false
_EFFECTS: dict[str, _Effect] = {
    "realtime_connect_requested": SessionAudit._connecting,
    "realtime_connected": SessionAudit._connected,
    "realtime_restart_started": SessionAudit._restarting,
    "realtime_restart_completed": SessionAudit._restarted,
    "realtime_input_sent": SessionAudit._sent,
    "realtime_input_send_failed": SessionAudit._sent_in_part,
    "realtime_input_send_unknown": SessionAudit._sent_in_part,
    "realtime_output_received": SessionAudit._received,
    "realtime_output_late": SessionAudit._late,
    "realtime_interrupt_requested": SessionAudit._interrupting,
    "realtime_interrupted": SessionAudit._interrupted,
    "realtime_interrupt_failed": SessionAudit._not_interrupted,
    "realtime_backpressure_applied": SessionAudit._gate,
    "realtime_backpressure_released": SessionAudit._release,
    "realtime_input_dropped": SessionAudit._drop,
    "realtime_closed": SessionAudit._closed,
    "realtime_detached": SessionAudit._closed,
}
