"""How a frame of a server becomes an event: by the names it uses, and as strictly as the settings want it."""

from collections.abc import Callable

import msgspec

from agentfield_adapters.openai import server_events as server
from agentfield_adapters.openai.dialect import Dialect
from agentfield_adapters.openai.endpoint import Endpoint

Read = Callable[[bytes], server.ReadEvent | server.Unread]
"""Reads one frame; raises `MalformedEvent` for one that cannot be read."""

BETA_NAMES = {
    "conversation.item.created": "conversation.item.added",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
}
"""What events were called before the protocol was released, and are now."""

NAMES = frozenset(
    """
    session.created session.updated error rate_limits.updated
    conversation.created conversation.item.created
    conversation.item.added conversation.item.done conversation.item.retrieved
    conversation.item.deleted conversation.item.truncated
    conversation.item.input_audio_transcription.delta conversation.item.input_audio_transcription.completed
    conversation.item.input_audio_transcription.failed conversation.item.input_audio_transcription.segment
    input_audio_buffer.committed input_audio_buffer.cleared
    input_audio_buffer.speech_started input_audio_buffer.speech_stopped
    input_audio_buffer.timeout_triggered input_audio_buffer.dtmf_event_received
    output_audio_buffer.started output_audio_buffer.stopped output_audio_buffer.cleared
    response.created response.done
    response.output_item.added response.output_item.done
    response.content_part.added response.content_part.done
    response.output_text.delta response.output_text.done
    response.output_audio.delta response.output_audio.done
    response.output_audio_transcript.delta response.output_audio_transcript.done
    response.function_call_arguments.delta response.function_call_arguments.done
    response.mcp_call_arguments.delta response.mcp_call_arguments.done
    response.mcp_call.in_progress response.mcp_call.completed response.mcp_call.failed
    mcp_list_tools.in_progress mcp_list_tools.completed mcp_list_tools.failed
    """.split()
)
"""Every event of the released protocol (OpenAI Realtime: server events)."""


def reader(dialect: Dialect, *, strict: bool) -> Read:
    """How to read what a server of this dialect sends.

    Args:
        strict: An event that the protocol does not have is malformed. Otherwise it is passed over, by name.
    """
    read = server.decode if dialect.beta == "no" else _read_beta
    if not strict:
        return read

    def read_strictly(data: bytes) -> server.ReadEvent | server.Unread:
        event = read(data)
        if isinstance(event, server.Unread) and event.name not in NAMES:
            raise server.MalformedEvent(event.name)
        return event

    return read_strictly


def keyless(read: Read, endpoint: Endpoint) -> Read:
    """As `read`, but of frames without the key that the server was shown."""
    return lambda data: read(endpoint.without_key(data))


def _read_beta(data: bytes) -> server.ReadEvent | server.Unread:
    """An event by the name it has now; such servers send little enough to decode it twice."""
    if (name := BETA_NAMES.get(server.name_in(data))) is not None:
        data = msgspec.json.encode({**msgspec.json.decode(data), "type": name})
    return server.decode(data)
