"""What goes on in a session, over HTTP: what its caller gives, the tools it runs, its sound, its events."""

from typing import Annotated, Any, Self

import msgspec
from fastapi import APIRouter, Header, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from agentfield_rt.frames import ImageDetail, image_type
from agentfield_rt.plane.calls.media import carry_media
from agentfield_rt.plane.errors import BadRequest, Busy, Conflict, NotFound
from agentfield_rt.plane.executions.views import accepted
from agentfield_rt.plane.http.dependencies import CURSOR_MAX, ID_CHARS_MAX, Asking, Plane, Recorded, Session
from agentfield_rt.plane.http.event_stream import EventStream
from agentfield_rt.plane.sessions.events import past_events, session_events
from agentfield_rt.plane.sessions.tool_calls import ToolCall

TEXT_CHARS_MAX = 4_000
READERS_MAX = 64
"""Event streams of one session at once."""

IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")]

router = APIRouter(prefix="/api/v1", tags=["sessions"])


class ImageBody(BaseModel):
    """A picture; how large it may be, the bound of every body says."""

    model_config = ConfigDict(extra="forbid")

    data: Base64Bytes
    detail: ImageDetail | None = None

    @field_validator("data")
    @classmethod
    def _is_a_picture(cls, data: bytes) -> bytes:
        if image_type(data) is None:
            raise ValueError("a picture is a PNG or JPEG file, in base64")
        return data


_SOMETHING: list[JsonValue] = [
    {"properties": {"text": {"type": "string"}}, "required": ["text"]},
    {"properties": {"image": {"type": "object"}}, "required": ["image"]},
    {"properties": {"end_turn": {"const": True}}, "required": ["end_turn"]},
]


class InputBody(BaseModel):
    """What the user gives besides speech; at least one of it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"anyOf": _SOMETHING})

    text: str | None = Field(default=None, min_length=1, max_length=TEXT_CHARS_MAX)
    image: ImageBody | None = None
    end_turn: bool = False

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.text is None and self.image is None and not self.end_turn:
            raise ValueError("give text, an image, or end_turn")
        return self


class ToolBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    target: Annotated[str, Field(max_length=2 * ID_CHARS_MAX)] | None = None
    input: dict[str, Any] | None = None


@router.websocket("/session-instances/{session_id}/media")
async def media(session_id: str, websocket: WebSocket) -> None:
    """Audio of a `transport=websocket` or `audio_turns` session."""
    await carry_media(websocket.app.state.plane, websocket, session_id)


@router.post("/session-instances/{session_id}/input", status_code=202)
async def user_input(session: Session, plane: Plane, body: InputBody) -> dict[str, str]:
    """A picture the user shows, a turn the user typed, the end of a turn the user spoke: in this order.

    Where nobody connected the session yet, this does, unless that is for its caller's offer to do (409).
    429: its handler is 32 turns behind.
    """
    if session.spec.carries_audio:
        await plane.sessions.connect(session)
    elif session.phase == "idle":
        raise Conflict(
            "nobody has called this session yet: its caller's SDP offer goes to its offer_url first; "
            "a session with transport=websocket takes typed turns without one"
        )
    taken: dict[str, str] = {}
    if body.image is not None:
        taken["image_id"] = await session.inputs.show(body.image.data, detail=body.image.detail)
    if body.text is not None:
        taken["turn_id"] = await session.hear_text(body.text)
    if body.end_turn:
        await session.inputs.end_turn()
    return taken


@router.post("/session-instances/{session_id}/interrupt", status_code=202)
async def interrupt(session: Session) -> dict[str, str]:
    """Stop what is being said."""
    await session.interrupt()
    return {}


@router.post("/session-instances/{session_id}/tools/{tool}", status_code=202)
@router.post("/sessions/{session_id}/tools/{tool}", status_code=202, include_in_schema=False)
async def call_tool(
    tool: str,
    session: Session,
    request: Request,
    plane: Plane,
    idempotency_key: Annotated[IdempotencyKey | None, Header()] = None,
) -> dict[str, Any]:
    """Run a tool that is on the session's list, by its own name or as `node.name`.

    The body is `{"input": {…}, "target"?: "node.name"}`. With an `Idempotency-Key`, the same call again gets
    the first answer, and another call with the same key is refused.
    """
    call = await _tool_call(tool, request, idempotency_key)
    return accepted(await plane.sessions.call_tool(session, call))


async def _tool_call(tool: str, request: Request, key: str | None) -> ToolCall:
    try:
        # As executions are read: pydantic takes NaN and Infinity for JSON, whose tool would be given null.
        body = ToolBody.model_validate(msgspec.json.decode(await request.body() or b"{}"))
    except ValidationError as error:
        if error.errors()[0]["loc"]:
            raise RequestValidationError(error.errors()) from error
        raise BadRequest("invalid JSON body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("invalid JSON body") from None
    return ToolCall(tool=tool, target=body.target or None, arguments=body.input or {}, key=key)


@router.get("/session-instances/{session_id}/events", response_class=EventStream)
async def events(  # noqa: PLR0913 - what may be asked
    recorded: Recorded,
    plane: Plane,
    caller: Asking,
    *,
    after: Annotated[int, Query(ge=0, le=CURSOR_MAX)] = 0,
    presence: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventStream:
    """Server-sent events: records from any cursor on, and live events in between while the session lives."""
    if last_event_id is not None and last_event_id.isdecimal() and len(last_event_id) < len(str(CURSOR_MAX)):
        after = int(last_event_id)
    try:
        session = plane.sessions.get(recorded.session_id, caller)
    except NotFound:
        return EventStream(past_events(plane, recorded.run_id, after=after), send_timeout=30)
    if session.live.readers >= READERS_MAX:
        raise Busy(f"{READERS_MAX} readers follow session {session.session_id}, which is the limit")
    return EventStream(
        session_events(plane, session, after=after, presence=presence), ping=15, send_timeout=30
    )
