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


def _timed(name: str, description: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Instrument:
    """How long something takes."""
    return Instrument(
        name=name, kind=Kind.HISTOGRAM, unit="s", description=description, labels=labels, buckets=buckets
    )


def _counted(name: str, unit: str, description: str, *labels: str) -> Instrument:
    """How often something happens."""
    return Instrument(name=name, kind=Kind.COUNTER, unit=unit, description=description, labels=labels)


def _shown(name: str, unit: str, description: str) -> Instrument:
    """How much of something there is now."""
    return Instrument(name=name, kind=Kind.GAUGE, unit=unit, description=description)


_AGENT = "gen_ai.agent.name"
_DOING = "gen_ai.operation.name"
_ERROR = "error.type"
_MODEL = "gen_ai.request.model"
_PROVIDER = "gen_ai.provider.name"
_TARGET = "agentfield.target"
_TRANSPORT = "agentfield.transport"

OPERATION = _timed(
    "gen_ai.client.operation.duration",
    "An operation on a provider's connection: connect, restart, interrupt, refer, close.",
    _DOING,
    _PROVIDER,
    _MODEL,
    _ERROR,
)
TOKENS = Instrument(
    name="gen_ai.client.token.usage",
    kind=Kind.HISTOGRAM,
    unit="{token}",
    description="Tokens of one answer, or of putting what was said into text, as the provider reports them.",
    labels=(_DOING, _PROVIDER, _MODEL, "gen_ai.token.type"),
    buckets=_TOKENS,
)
FIRST_CHUNK = _timed(
    "gen_ai.client.operation.time_to_first_chunk",
    "From asking the provider to say something to the caller beginning to hear it.",
    _DOING,
    _PROVIDER,
    _MODEL,
    buckets=_REPLY_SECONDS,
)
TURN = _timed(
    "gen_ai.invoke_agent.duration",
    "A turn: from the user having spoken to the handler asking for the next one.",
    _AGENT,
    _ERROR,
)
TOOL = _timed(
    "gen_ai.execute_tool.duration",
    "A tool that a provider's model called by itself, with what it waited for.",
    "gen_ai.tool.name",
    _ERROR,
)
FIRST_AUDIO = _timed(
    "agentfield.turn.time_to_first_audio",
    "From the user falling silent to the caller beginning to hear the answer: the reply time.",
    _AGENT,
    _PROVIDER,
    buckets=_REPLY_SECONDS,
)
EXECUTION = _timed(
    "agentfield.execution.duration",
    "An execution from being accepted to its outcome.",
    _TARGET,
    "agentfield.status",
)
QUEUED = _timed(
    "agentfield.execution.queue.duration",
    "From an execution being accepted to its being sent to a node in another process.",
    _TARGET,
)
SESSION = _timed(
    "agentfield.session.duration",
    "A session from its start to its end, by why it ended.",
    _AGENT,
    _PROVIDER,
    _TRANSPORT,
    "agentfield.close_reason",
    buckets=_CALL_SECONDS,
)
SESSIONS_STARTED = _counted(
    "agentfield.sessions.started", "{session}", "Sessions that were started.", _AGENT, _PROVIDER, _TRANSPORT
)
CONNECTIONS_LOST = _counted(
    "agentfield.connections.lost",
    "{connection}",
    "Provider connections that ended without being asked to.",
    _PROVIDER,
    _ERROR,
)
FRAMES_DROPPED = _counted(
    "agentfield.frames.dropped",
    "{frame}",
    "Frames that waited for a provider and will never be sent.",
    _ERROR,
)
OUTPUT_LATE = _counted(
    "agentfield.output.late",
    "{event}",
    "Output of interrupted answers that came after all, and was given to nobody.",
)
RECORDS = _counted(
    "agentfield.journal.records", "{record}", "Records that runs have taken.", "agentfield.record.kind"
)
REQUESTS = _timed(
    "http.server.request.duration",
    "A request until its answer is sent. Event streams last as long as their readers stay.",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    buckets=_REQUEST_SECONDS,
)
SESSIONS_ACTIVE = _shown("agentfield.sessions.active", "{session}", "Sessions that are live now.")
EXECUTIONS_OPEN = _shown(
    "agentfield.executions.open",
    "{execution}",
    "Executions that were accepted and have no outcome yet, queued ones included.",
)
EXECUTIONS_WAITING = _shown(
    "agentfield.executions.waiting",
    "{execution}",
    "Executions that have not been sent to their node: the queue's depth.",
)
DRAINING = _shown("agentfield.draining", "1", "1 while the server takes no new work because it is to stop.")

INSTRUMENTS = tuple(each for each in tuple(globals().values()) if isinstance(each, Instrument))
"""All of the above, in their order."""
