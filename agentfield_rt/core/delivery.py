"""Which provider events the application gets, and what the journal says of them. Knows no adapter."""

import re
from collections import Counter
from collections.abc import Iterable

from agentfield_rt.core import commands
from agentfield_rt.core.state import State
from agentfield_rt.frames import (
    Notice,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
)

# A provider's own name for an event is journaled when it looks like one; free text never is.
_EVENT_NAME = re.compile(r"[a-z_.]{1,64}")


def deliver(
    state: State, op_id: str, events: Iterable[ProviderEvent]
) -> tuple[commands.Received, tuple[ProviderEvent, ...]]:
    """The outcome of a receive, and its events without the output of interrupted responses."""
    late: Counter[str] = Counter()
    delivered: list[ProviderEvent] = []
    for event in events:
        if isinstance(event, (OutputAudio, OutputTranscript)) and _is_interrupted(state, event.response_id):
            late[event.response_id] += 1
        else:
            delivered.append(event)
    received = commands.Received(
        op_id,
        events=tuple(_name(event) for event in delivered),
        size_bytes=sum(len(event.pcm) for event in delivered if isinstance(event, OutputAudio)),
        started=tuple(event.response_id for event in delivered if isinstance(event, ResponseStarted)),
        ended=tuple(event.response_id for event in delivered if isinstance(event, ResponseEnded)),
        late=tuple(late.items()),
    )
    return received, tuple(delivered)


def _name(event: ProviderEvent) -> str:
    if isinstance(event, Notice) and _EVENT_NAME.fullmatch(event.name):
        return event.name
    return type(event).__name__


def _is_interrupted(state: State, response_id: str) -> bool:
    response = state.responses.get(response_id)
    return response is not None and response.interrupted
