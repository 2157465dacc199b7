"""Which provider events the application gets, and what the journal says of them. Knows no adapter."""

import re
from typing import TypeGuard

from agentfield_rt.core.state import State
from agentfield_rt.frames import (
    ConnectionExpiring,
    InputTranscript,
    Notice,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    RateLimitsReported,
    SpeechStopped,
    UsageReported,
)

_OUTPUT = (OutputAudio, OutputTranscript)  # made once: this is asked of every frame
_UNMARKED = (*_OUTPUT, SpeechStopped, Notice, UsageReported, RateLimitsReported, ConnectionExpiring)
# A provider's own name for an event is journaled when it looks like one; free text never is.
_EVENT_NAME = re.compile(r"[a-z_.]{1,64}")


def event_name(event: ProviderEvent) -> str:
    """What the journal calls it."""
    if isinstance(event, Notice) and _EVENT_NAME.fullmatch(event.name):
        return event.name
    return type(event).__name__


def is_audio(event: ProviderEvent) -> bool:
    """Whether it is a frame of what the assistant says."""
    return isinstance(event, OutputAudio)


def is_late(event: ProviderEvent, state: State) -> TypeGuard[OutputAudio | OutputTranscript]:
    """Whether it is output of a response that was interrupted before it came."""
    if not isinstance(event, _OUTPUT):
        return False
    response = state.responses.get(event.response_id)
    return response is not None and response.interrupted


def is_mark(event: ProviderEvent) -> bool:
    """Whether it begins or ends something. The journal says at once when a mark came; the rest flows.

    The end of speech is told with the words that follow it, whose turn says when it was.
    """
    if isinstance(event, InputTranscript):
        return event.final
    return not isinstance(event, _UNMARKED)
