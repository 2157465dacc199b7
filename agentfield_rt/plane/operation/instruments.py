"""What is measured: the one list that the exposition, the exporter and the documentation are made from.

Names, units and attributes are OpenTelemetry's, with its conventions for generative AI where they have one
(`gen_ai.…`). Every attribute's values come from a closed vocabulary, or are cut off at `VALUES_MAX`.
"""

from dataclasses import dataclass
from enum import StrEnum

VALUES_MAX = 100
"""Values that an attribute of an open vocabulary (targets, models) may have; later ones are `other`."""

OTHER = "other"


class Kind(StrEnum):
    """How an instrument adds up."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The conventions' buckets for operations."""
_REPLY_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0)
"""Where people notice: a reply feels prompt below half a second, and late after one and a half."""
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The conventions' buckets for HTTP servers."""
_CALL_SECONDS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0)
_TOKENS = tuple(float(4**power) for power in range(14))


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One thing that is measured.

    Attributes:
        unit: As UCUM writes it: `s`, `{token}`.
        labels: Names of its attributes.
        buckets: Upper bounds, of a histogram.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exposed_as(self) -> str:
        """Its name at `/metrics`, as OpenTelemetry translates names for Prometheus."""
        name = self.name.replace(".", "_")
        if self.unit == "s":
            name += "_seconds"
        return f"{name}_total" if self.kind is Kind.COUNTER else name


OPERATION = Instrument(
    name="gen_ai.client.operation.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="An operation on a provider's connection: connect, restart, interrupt, refer, close.",
    labels=("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "error.type"),
    buckets=_SECONDS,
)
TOKENS = Instrument(
    name="gen_ai.client.token.usage",
    kind=Kind.HISTOGRAM,
    unit="{token}",
    description="Tokens of one answer, or of putting what was said into text, as the provider reports them.",
    labels=("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.token.type"),
    buckets=_TOKENS,
)
FIRST_CHUNK = Instrument(
    name="gen_ai.client.operation.time_to_first_chunk",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="From asking the provider to say something to the caller beginning to hear it.",
    labels=("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"),
    buckets=_REPLY_SECONDS,
)
TURN = Instrument(
    name="gen_ai.invoke_agent.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="A turn: from the user having spoken to the handler asking for the next one.",
    labels=("gen_ai.agent.name", "error.type"),
    buckets=_SECONDS,
)
TOOL = Instrument(
    name="gen_ai.execute_tool.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="A tool that a provider's model called by itself, with what it waited for.",
    labels=("gen_ai.tool.name", "error.type"),
    buckets=_SECONDS,
)
FIRST_AUDIO = Instrument(
    name="agentfield.turn.time_to_first_audio",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="From the user falling silent to the caller beginning to hear the answer: the reply time.",
    labels=("gen_ai.agent.name", "gen_ai.provider.name"),
    buckets=_REPLY_SECONDS,
)
EXECUTION = Instrument(
    name="agentfield.execution.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="An execution from being accepted to its outcome.",
    labels=("agentfield.target", "agentfield.status"),
    buckets=_SECONDS,
)
QUEUED = Instrument(
    name="agentfield.execution.queue.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="From an execution being accepted to its being sent to a node in another process.",
    labels=("agentfield.target",),
    buckets=_SECONDS,
)
SESSION = Instrument(
    name="agentfield.session.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="A session from its start to its end, by why it ended.",
    labels=("gen_ai.agent.name", "gen_ai.provider.name", "agentfield.transport", "agentfield.close_reason"),
    buckets=_CALL_SECONDS,
)
SESSIONS_STARTED = Instrument(
    name="agentfield.sessions.started",
    kind=Kind.COUNTER,
    unit="{session}",
    description="Sessions that were started.",
    labels=("gen_ai.agent.name", "gen_ai.provider.name", "agentfield.transport"),
)
CONNECTIONS_LOST = Instrument(
    name="agentfield.connections.lost",
    kind=Kind.COUNTER,
    unit="{connection}",
    description="Provider connections that ended without being asked to.",
    labels=("gen_ai.provider.name", "error.type"),
)
FRAMES_DROPPED = Instrument(
    name="agentfield.frames.dropped",
    kind=Kind.COUNTER,
    unit="{frame}",
    description="Frames that waited for a provider and will never be sent.",
    labels=("error.type",),
)
OUTPUT_LATE = Instrument(
    name="agentfield.output.late",
    kind=Kind.COUNTER,
    unit="{event}",
    description="Output of interrupted answers that came after all, and was given to nobody.",
)
RECORDS = Instrument(
    name="agentfield.journal.records",
    kind=Kind.COUNTER,
    unit="{record}",
    description="Records that runs have taken.",
    labels=("agentfield.record.kind",),
)
REQUESTS = Instrument(
    name="http.server.request.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="A request until its answer is sent. Event streams last as long as their readers stay.",
    labels=("http.request.method", "http.route", "http.response.status_code"),
    buckets=_REQUEST_SECONDS,
)
SESSIONS_ACTIVE = Instrument(
    name="agentfield.sessions.active",
    kind=Kind.GAUGE,
    unit="{session}",
    description="Sessions that are live now.",
)
EXECUTIONS_OPEN = Instrument(
    name="agentfield.executions.open",
    kind=Kind.GAUGE,
    unit="{execution}",
    description="Executions that were accepted and have no outcome yet, queued ones included.",
)
EXECUTIONS_WAITING = Instrument(
    name="agentfield.executions.waiting",
    kind=Kind.GAUGE,
    unit="{execution}",
    description="Executions that have not been sent to their node: the queue's depth.",
)
DRAINING = Instrument(
    name="agentfield.draining",
    kind=Kind.GAUGE,
    unit="1",
    description="1 while the server takes no new work because it is to stop.",
)

INSTRUMENTS = (
    OPERATION,
    TOKENS,
    FIRST_CHUNK,
    TURN,
    TOOL,
    FIRST_AUDIO,
    EXECUTION,
    QUEUED,
    SESSION,
    SESSIONS_STARTED,
    CONNECTIONS_LOST,
    FRAMES_DROPPED,
    OUTPUT_LATE,
    RECORDS,
    REQUESTS,
    SESSIONS_ACTIVE,
    EXECUTIONS_OPEN,
    EXECUTIONS_WAITING,
    DRAINING,
)
