"""What the user says and dials, as the provider hears it: speech, its words, and what they cost. Pure."""

from agentfield_adapters.openai import reports
from agentfield_adapters.openai import server_events as server
from agentfield_rt.frames import (
    DigitDialled,
    InputRejected,
    InputTranscript,
    Notice,
    ProviderEvent,
    SpeechStarted,
    SpeechStopped,
    UsageReported,
)
from agentfield_rt.voice.digits import DIGITS

_KEYS = frozenset(DIGITS)


def told(
    event: server.TranscriptionDelta
    | server.TranscriptionCompleted
    | server.TranscriptionFailed
    | server.SpeechStarted
    | server.SpeechStopped
    | server.DigitDialled,
) -> list[ProviderEvent]:
    """What an event about the user's speech, or a key they pressed, means to the runtime."""
    if isinstance(event, server.DigitDialled):
        return [DigitDialled(event.event) if event.event in _KEYS else Notice(server.name_of(event))]
    item_id = event.item_id
    match event:
        case server.TranscriptionDelta(delta=delta):
            return [InputTranscript(item_id, delta, final=False)] if delta else []
        case server.TranscriptionCompleted(transcript=transcript):
            told = InputTranscript(item_id, transcript, final=True)
            return [*_cost(event), told if transcript.strip() else InputRejected(item_id)]
        case server.TranscriptionFailed():
            return [InputRejected(item_id)]
        case server.SpeechStarted():
            return [SpeechStarted(item_id)]
        case server.SpeechStopped():
            return [SpeechStopped(item_id)]


def _cost(event: server.TranscriptionCompleted) -> list[ProviderEvent]:
    usage = reports.usage(event.usage)
    return [] if usage is None else [UsageReported(usage)]
