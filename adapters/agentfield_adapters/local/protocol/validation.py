"""Strict checks with the vendor's error codes: a refused event is refused whole and changes nothing.

The shapes are the msgspec structs beside this module; here their complaints are put into the vendor's words.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct

from agentfield_adapters.local.protocol.client_events import AnyClientEvent, ItemCreate, SessionUpdate
from agentfield_adapters.local.protocol.items import CONTENT_OF_ROLE, Message
from agentfield_adapters.local.protocol.session import SessionPatch

_S = TypeVar("_S")

_FIELD = re.compile(r"^Object (missing required|contains unknown) field `(?P<name>[^`]*)`")
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_WRONG_TYPE = re.compile(r"^Expected `[^`<>]*`(, got `[^`]*`)?( - at |$)")


class Refusal(Exception):
    """A client's mistake, in the vendor's shape. The session goes on as it was.

    Attributes:
        code: The vendor's code, such as `unknown_parameter`.
        message: For a person.
        param: The path of the field at fault, such as `session.audio.input`, or None.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class _EventId(Struct):
    event_id: str | None = None


_event_decoder: msgspec.json.Decoder[AnyClientEvent] = msgspec.json.Decoder(AnyClientEvent)
_patch_decoder = msgspec.json.Decoder(SessionPatch)
_event_id_decoder = msgspec.json.Decoder(_EventId)


def parse_event(text: str | bytes) -> AnyClientEvent:
    """Return the event in one frame of a client.

    Raises:
        Refusal: It is not JSON, not a known event, or a field is missing, unknown or wrong.
    """
    event = decoded(_event_decoder, text, prefix="")
    if isinstance(event, SessionUpdate):
        _check_session(event.session, prefix="session.")
    if isinstance(event, ItemCreate) and isinstance(event.item, Message):
        _check_message(event.item)
    return event


def parse_session(text: str | bytes) -> SessionPatch:
    """Return the `session` part of a new call.

    Raises:
        Refusal: As for an event, with `param` starting at `session`.
    """
    patch = decoded(_patch_decoder, text, prefix="session.")
    _check_session(patch, prefix="session.")
    return patch


def event_id_of(text: str | bytes) -> str | None:
    """Return the `event_id` of a frame that was refused, so that the client can tell which."""
    try:
        return _event_id_decoder.decode(text).event_id
    except msgspec.MsgspecError:
        return None


def decoded(decoder: msgspec.json.Decoder[_S], text: str | bytes, *, prefix: str) -> _S:
    """Return what a client's JSON says, with `prefix` before the paths of its mistakes.

    Raises:
        Refusal: It is not JSON, or a field is missing, unknown or wrong.
    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), prefix) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refusal("invalid_json", "The frame is not valid JSON.") from None


def _refusal(complaint: str, prefix: str) -> Refusal:
    found = _PATH.search(complaint)
    path = prefix + (found["path"] if found else "")
    said = _PATH.sub("", complaint)
    if field := _FIELD.match(complaint):
        name = f"{path.rstrip('.')}.{field['name']}".lstrip(".")
        if said.startswith("Object missing"):
            return Refusal("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
        return Refusal("unknown_parameter", f"Unknown parameter: '{name}'.", name)
    param = path.rstrip(".") or None
    kind = "type" if _WRONG_TYPE.match(complaint) else "value"
    return Refusal(f"invalid_{kind}", f"Invalid {kind} for '{param}': {said}.", param)


def _check_session(patch: SessionPatch, *, prefix: str) -> None:
    """Check what a shape cannot say."""
    modalities: Any = patch.output_modalities
    if modalities is not UNSET and len(modalities) != 1:
        raise Refusal(
            "invalid_value",
            "Supported combinations are: ['audio'] and ['text'].",
            f"{prefix}output_modalities",
        )


def _check_message(message: Message) -> None:
    allowed = CONTENT_OF_ROLE[message.role]
    for index, part in enumerate(message.content):
        if not isinstance(part, allowed):
            names = ", ".join(str(kind.__struct_config__.tag) for kind in allowed)
            raise Refusal(
                "invalid_value",
                f"A message of role '{message.role}' takes content of type {names}.",
                f"item.content[{index}].type",
            )
