"""The protocol as JSON schema, for whoever speaks it in another language."""

from typing import Any

import msgspec

from agentfield_rt.channel.frame import Frame
from agentfield_rt.channel.message import MESSAGE_BYTES_MAX, VERSION
from agentfield_rt.channel.to_agent import ToAgent
from agentfield_rt.channel.to_plane import ToPlane

PLACE = "#/$defs/{name}"


def channel_schema() -> dict[str, Any]:
    """JSON schema 2020-12 of the frames of both directions: `$defs` holds `frame_to_plane`, `frame_to_agent`
    and every message by its class."""
    (to_plane, to_agent), parts = msgspec.json.schema_components(
        (Frame[ToPlane], Frame[ToAgent]), ref_template=PLACE
    )
    definitions: dict[str, Any] = dict(parts)
    for name, schema in (("frame_to_plane", to_plane), ("frame_to_agent", to_agent)):
        target = schema.get("$ref", "").removeprefix("#/$defs/")
        definitions[name] = definitions.pop(target) if target in definitions else schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "AgentField RT handler channel",
        "version": VERSION,
        "x-frame-bytes-max": MESSAGE_BYTES_MAX,
        "$defs": definitions,
        "anyOf": [{"$ref": "#/$defs/frame_to_plane"}, {"$ref": "#/$defs/frame_to_agent"}],
    }
