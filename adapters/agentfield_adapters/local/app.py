"""The provider's HTTP and websocket routes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from agentfield_adapters.local.access import is_welcome
from agentfield_adapters.local.conversation.playback import SocketPlayback
from agentfield_adapters.local.problems import unauthorised
from agentfield_adapters.local.protocol.session import MODEL_DEFAULT
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
        self._api_key = api_key

    def app(self) -> Starlette:
        """Return the ASGI application; its lifespan starts and stops the provider."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                WebSocketRoute("/v1/realtime", self.realtime),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        await self._provider.start()
        try:
            yield
        finally:
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
        await self._new_session(websocket, websocket.query_params.get("model", MODEL_DEFAULT))

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
