"""The HTTP of it: `/v1/chat/completions` and `/v1/audio/transcriptions`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agentfield_adapters.local.access import is_welcome
from agentfield_adapters.local.chat.kit import Kit
from agentfield_adapters.local.chat.prompt import prompt_of
from agentfield_adapters.local.chat.reply import Reply
from agentfield_adapters.local.chat.request import parse_request
from agentfield_adapters.local.chat.sound_file import heard, samples
from agentfield_adapters.local.faults.admission import struck_request
from agentfield_adapters.local.faults.fault import Where
from agentfield_adapters.local.form import BodyTooLarge, form_parts, limited_body
from agentfield_adapters.local.instrument.desk import Desk
from agentfield_adapters.local.instrument.setups import Setup, Setups
from agentfield_adapters.local.problems import problem, refused, unauthorised
from agentfield_adapters.local.protocol.validation import Refusal

BODY_BYTES_MAX = 24 * 1024 * 1024
_FORM_FIELDS = frozenset({"file", "model", "prompt", "language", "response_format", "temperature"})


class ChatRoutes:
    """The endpoints that answer one request at a time.

    Args:
        setups: With which faults and which scenario.
        desk: Keeps the log.
        kit_for: What a request is answered with.
        api_key: The only bearer that is let in, or None for any.
    """

    def __init__(
        self, setups: Setups, desk: Desk, kit_for: Callable[[Setup], Kit], *, api_key: str | None
    ) -> None:
        self._setups = setups
        self._desk = desk
        self._kit_for = kit_for
        self._api_key = api_key

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
            Route("/v1/audio/transcriptions", self.transcribe, methods=["POST"]),
        ]

    async def complete(self, request: Request) -> Response:
        """`POST /v1/chat/completions`: a conversation in, one streamed answer out."""
        if not is_welcome(request, self._api_key):
            return unauthorised()
        try:
            setup = self._setups.of(request) or self._setups.default
            if (struck := await struck_request(request, setup.plan, Where.CHAT)) is not None:
                return self._desk.answered(Where.CHAT, setup, struck)
            body = await limited_body(request, BODY_BYTES_MAX)
            kit = self._kit_for(setup)
            wanted = parse_request(body)
            prompt = await prompt_of(wanted, kit.senses)
        except BodyTooLarge:
            return _too_large()
        except Refusal as refusal:
            return refused(refusal)
        reply = Reply(wanted, await kit.senses.brain.answer(prompt), kit)
        return StreamingResponse(
            self._streamed(request, setup, body, reply),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache"},
        )

    async def _streamed(
        self, request: Request, setup: Setup, body: bytes, reply: Reply
    ) -> AsyncGenerator[bytes]:
        with self._desk.stream(request, setup, Where.CHAT) as line:
            line.takes(body)
            async with aclosing(line.carried(reply.stream())) as pieces:
                async for piece in pieces:
                    yield piece

    async def transcribe(self, request: Request) -> Response:
        """`POST /v1/audio/transcriptions`: a WAV file in, its words out; a prompt may be a JSGF grammar."""
        if not is_welcome(request, self._api_key):
            return unauthorised()
        try:
            setup = self._setups.of(request) or self._setups.default
            if (struck := await struck_request(request, setup.plan, Where.TRANSCRIPTIONS)) is not None:
                return self._desk.answered(Where.TRANSCRIPTIONS, setup, struck)
            kit = self._kit_for(setup)
            body = await limited_body(request, BODY_BYTES_MAX)
            parts = form_parts(request.headers.get("content-type", ""), body)
            _check_form(parts)
            turn = await heard(
                kit.senses,
                samples(parts["file"], "file"),
                grammar=parts.get("prompt", b"").decode("utf-8", "replace") or None,
                param="prompt",
            )
        except BodyTooLarge:
            return _too_large()
        except Refusal as refusal:
            return refused(refusal)
        words = turn.recognised.text if turn is not None and turn.recognised is not None else None
        return JSONResponse({"text": words or ""})


def _check_form(parts: dict[str, bytes]) -> None:
    for name in ("file", "model"):
        if name not in parts:
            raise Refusal("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
    for name in parts.keys() - _FORM_FIELDS:
        raise Refusal("unknown_parameter", f"Unknown parameter: '{name}'.", name)
    if parts.get("response_format", b"json") != b"json":
        raise Refusal("invalid_value", "This provider answers with 'json' only.", "response_format")


def _too_large() -> Response:
    return problem(413, "body_too_large", f"A request needs less than {BODY_BYTES_MAX} bytes.")
