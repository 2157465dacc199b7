"""The provider's HTTP and websocket routes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from agentfield_adapters.local.access import is_welcome
from agentfield_adapters.local.call.calls import Call, Calls
from agentfield_adapters.local.conversation.playback import SocketPlayback
from agentfield_adapters.local.form import BODY_BYTES_MAX, BodyTooLarge, new_call
from agentfield_adapters.local.problems import problem, refused, unauthorised, unknown_call
from agentfield_adapters.local.protocol.session import MODEL_DEFAULT
from agentfield_adapters.local.protocol.validation import Refusal
from agentfield_adapters.local.provider import Provider
from agentfield_adapters.local.websocket_client import WebSocketClient

MODELS = (MODEL_DEFAULT, "gpt-realtime-mini")


class Routes:
    """The endpoints of one provider.

    Args:
        api_key: The only bearer that is let in, or None for any.
    """

    def __init__(self, provider: Provider, *, api_key: str | None = None) -> None:
        self._provider = provider
        self._calls = Calls(provider)
        self._api_key = api_key

    def app(self) -> Starlette:
        """Return the ASGI application; its lifespan starts and stops the provider."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                WebSocketRoute("/v1/realtime", self.realtime),
                Route("/v1/realtime/calls", self.begin_call, methods=["POST"]),
                Route("/v1/realtime/calls/{call_id}/hangup", self.hang_up, methods=["POST"]),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        await self._provider.start()
        try:
            yield
        finally:
            await self._calls.end_all()
            await self._provider.stop()

    async def health(self, request: Request) -> Response:
        """`GET /health`: the provider is up."""
        return JSONResponse({"status": "ok"})

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`: what may be named as a model; any other name works too."""
        if not is_welcome(request, self._api_key):
            return unauthorised()
        data = [{"id": model, "object": "model", "created": 0, "owned_by": "local"} for model in MODELS]
        return JSONResponse({"object": "list", "data": data})

    async def realtime(self, websocket: WebSocket) -> None:
        """`GET /v1/realtime`: a session of its own with `?model=`, a call's sideband with `?call_id=`."""
        if not is_welcome(websocket, self._api_key):
            await websocket.send_denial_response(unauthorised())
            return
        call_id, model = websocket.query_params.get("call_id"), websocket.query_params.get("model")
        if call_id is None:
            await self._new_session(websocket, model or MODEL_DEFAULT)
        elif model is not None:
            message = "Give either a model, for a new session, or a call_id, for a call that is going on."
            await websocket.send_denial_response(problem(400, "invalid_value", message, "model"))
        elif (call := self._calls.get(call_id)) is None:
            await websocket.send_denial_response(unknown_call(call_id))
        else:
            await self._sideband(websocket, call)

    async def begin_call(self, request: Request) -> Response:
        """`POST /v1/realtime/calls`: an SDP offer in, the answer out; `Location` ends with the call id."""
        if not is_welcome(request, self._api_key):
            return unauthorised()
        try:
            offer, patch = await new_call(request)
            call_id, answer = await self._calls.begin(offer, patch)
        except BodyTooLarge:
            return problem(413, "body_too_large", f"A call needs less than {BODY_BYTES_MAX} bytes.")
        except Refusal as refusal:
            return refused(refusal)
        location = {"Location": f"/v1/realtime/calls/{call_id}"}
        return Response(answer, status_code=201, media_type="application/sdp", headers=location)

    async def hang_up(self, request: Request) -> Response:
        """`POST /v1/realtime/calls/{call_id}/hangup`: end a call, with its sidebands."""
        if not is_welcome(request, self._api_key):
            return unauthorised()
        call_id = str(request.path_params["call_id"])
        return Response() if await self._calls.end(call_id) else unknown_call(call_id)

    async def _sideband(self, websocket: WebSocket, call: Call) -> None:
        client = WebSocketClient(websocket)
        await client.accept()
        call.join(client)
        try:
            await client.converse(call.conversation)
        finally:
            call.leave(client)

    async def _new_session(self, websocket: WebSocket, model: str) -> None:
        client = WebSocketClient(websocket)
        await client.accept()
        conversation = self._provider.new_session(model, SocketPlayback()).conversation
        try:
            await conversation.open()
            conversation.stream.join(client)
            conversation.greet(client)
            await client.converse(conversation)
        finally:
            await conversation.close()
