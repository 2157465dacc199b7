"""The provider's HTTP and websocket routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from agentfield_adapters.local.access import is_welcome
from agentfield_adapters.local.call.calls import Call, Calls
from agentfield_adapters.local.chat.kit import Kit
from agentfield_adapters.local.chat.routes import ChatRoutes
from agentfield_adapters.local.conversation.conversation import Conversation
from agentfield_adapters.local.faults.acts import EXPIRED_CODE, EXPIRED_REASON
from agentfield_adapters.local.faults.admission import struck_request, struck_upgrade
from agentfield_adapters.local.faults.fault import Where
from agentfield_adapters.local.faults.line import Line
from agentfield_adapters.local.form import BODY_BYTES_MAX, BodyTooLarge, new_call
from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.instrument.admin import Admin
from agentfield_adapters.local.instrument.desk import Desk
from agentfield_adapters.local.instrument.log import Log
from agentfield_adapters.local.instrument.setups import Setup, Setups
from agentfield_adapters.local.phone.exchange import Exchange
from agentfield_adapters.local.phone.routes import PhoneAdmin, PhoneRoutes
from agentfield_adapters.local.problems import problem, refused, unauthorised, unknown_call
from agentfield_adapters.local.protocol.server_events import ErrorDetail, ServerError
from agentfield_adapters.local.protocol.session import MODEL_DEFAULT
from agentfield_adapters.local.protocol.validation import Refusal
from agentfield_adapters.local.provider import Provider, socket_playback, times_real_time
from agentfield_adapters.local.websocket_client import WebSocketClient

MODELS = (MODEL_DEFAULT, "gpt-realtime-mini", "gpt-audio")


class Routes:
    """The endpoints of one provider.

    Args:
        setups: What calls run with.
        log: Keeps what came in and went out.
        api_key: The only bearer that is let in, or None for any.
        admin_token: The bearer of the admin endpoint; without one there is none.
    """

    def __init__(
        self,
        provider: Provider,
        setups: Setups,
        *,
        log: Log | None = None,
        api_key: str | None = None,
        admin_token: str | None = None,
    ) -> None:
        self._provider = provider
        self._setups = setups
        self._calls = Calls(provider)
        self._exchange = Exchange(provider, self._calls)
        self._api_key = api_key
        self._log = log if log is not None or admin_token is None else Log()
        self._desk = Desk(setups, self._log)
        self._admin_token = admin_token

    def app(self) -> Starlette:
        """Return the ASGI application; its lifespan starts and stops the provider."""
        routes: list[BaseRoute] = [Route("/health", self.health), *self._spoken()]
        routes.append(Mount("/with/{setup:str}", routes=self._spoken()))
        if self._admin_token is not None and self._log is not None:
            admin = Admin(self._admin_token, self._setups, self._log, on_faults=self._desk.rearm)
            routes += admin.routes(*PhoneAdmin(self._exchange, self._setups).routes())
        return Starlette(routes=routes, lifespan=self._lifespan)

    def _spoken(self) -> Sequence[BaseRoute]:
        """The vendor's endpoints."""
        return [
            *ChatRoutes(self._setups, self._desk, self._kit, api_key=self._api_key).routes(),
            Route("/v1/models", self.models),
            WebSocketRoute("/v1/realtime", self.realtime),
            Route("/v1/realtime/calls", self.begin_call, methods=["POST"]),
            Route("/v1/realtime/calls/{call_id}/hangup", self.hang_up, methods=["POST"]),
            *PhoneRoutes(self._exchange, self._setups, self._desk, api_key=self._api_key).routes(),
        ]

    def _kit(self, setup: Setup) -> Kit:
        ids = Ids(setup.seed, f"completion {setup.next_ordinal()}")
        return Kit(self._provider.senses(setup), ids, times_real_time(setup))

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None]:
        await self._provider.start(self._setups.default)
        try:
            yield
        finally:
            await self._calls.end_all()
            await self._provider.stop()
            if self._log is not None:
                self._log.close()

    async def health(self, request: Request) -> Response:
        """`GET /health`: the provider is up."""
        return JSONResponse({"status": "ok"})

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`: what may be named as a model; any other name works too."""
        if not is_welcome(request, self._api_key):
            return unauthorised()
        try:
            setup = self._setups.of(request) or self._setups.default
        except Refusal as refusal:
            return refused(refusal)
        if (struck := await struck_request(request, setup.plan, Where.MODELS)) is not None:
            return self._desk.answered(Where.MODELS, setup, struck)
        data = [{"id": model, "object": "model", "created": 0, "owned_by": "local"} for model in MODELS]
        return JSONResponse({"object": "list", "data": data})

    async def realtime(self, websocket: WebSocket) -> None:
        """`GET /v1/realtime`: a session of its own with `?model=`, a call's sideband with `?call_id=`."""
        if not is_welcome(websocket, self._api_key):
            await websocket.send_denial_response(unauthorised())
            return
        call_id, model = websocket.query_params.get("call_id"), websocket.query_params.get("model")
        try:
            setup = self._setups.of(websocket)
        except Refusal as refusal:
            await websocket.send_denial_response(refused(refusal))
            return
        if call_id is None:
            await self._new_session(websocket, model or MODEL_DEFAULT, setup or self._setups.default)
        elif model is not None:
            message = "Give either a model, for a new session, or a call_id, for a call that is going on."
            await websocket.send_denial_response(problem(400, "invalid_value", message, "model"))
        elif (call := self._calls.get(call_id)) is None:
            await websocket.send_denial_response(unknown_call(call_id))
        else:
            await self._sideband(websocket, call, setup or call.setup)

    async def begin_call(self, request: Request) -> Response:
        """`POST /v1/realtime/calls`: an SDP offer in, the answer out; `Location` ends with the call id."""
        if not is_welcome(request, self._api_key):
            return unauthorised()
        try:
            offer, patch = await new_call(request)
            setup = self._setups.of(request) or self._setups.default
            if (struck := await struck_request(request, setup.plan, Where.CALLS)) is not None:
                return self._desk.answered(Where.CALLS, setup, struck)
            call_id, answer = await self._calls.begin(offer, patch, setup)
        except BodyTooLarge:
            return problem(413, "body_too_large", f"A call needs less than {BODY_BYTES_MAX} bytes.")
        except Refusal as refusal:
            return refused(refusal)
        location = {"Location": f"/v1/realtime/calls/{call_id}"}
        created = Response(answer, status_code=201, media_type="application/sdp", headers=location)
        return self._desk.answered(Where.CALLS, setup, created)

    async def hang_up(self, request: Request) -> Response:
        """`POST /v1/realtime/calls/{call_id}/hangup`: end a call, with its sidebands."""
        if not is_welcome(request, self._api_key):
            return unauthorised()
        call_id = str(request.path_params["call_id"])
        try:
            setup = self._setups.of(request)
        except Refusal as refusal:
            return refused(refusal)
        call = self._calls.get(call_id)
        setup = setup or (self._setups.default if call is None else call.setup)
        if (struck := await struck_request(request, setup.plan, Where.HANGUP)) is not None:
            return self._desk.answered(Where.HANGUP, setup, struck)
        answer = Response() if await self._calls.end(call_id) else unknown_call(call_id)
        return self._desk.answered(Where.HANGUP, setup, answer)

    async def _sideband(self, websocket: WebSocket, call: Call, setup: Setup) -> None:
        if (struck := await struck_upgrade(websocket, setup.plan, Where.SIDEBAND)) is not None:
            self._desk.answered(Where.SIDEBAND, setup, struck)
            return
        with self._desk.line(websocket, setup, Where.SIDEBAND, call_id=call.call_id) as line:
            client = self._client(websocket, line)
            await client.accept()
            call.join(client)
            try:
                await client.converse(call.conversation)
            finally:
                call.leave(client)

    async def _new_session(self, websocket: WebSocket, model: str, setup: Setup) -> None:
        if (struck := await struck_upgrade(websocket, setup.plan, Where.SESSION)) is not None:
            self._desk.answered(Where.SESSION, setup, struck)
            return
        with self._desk.line(websocket, setup, Where.SESSION) as line:
            client = self._client(websocket, line)
            await client.accept()
            conversation = self._provider.new_session(model, socket_playback(setup), setup).conversation
            try:
                await conversation.open()
                conversation.stream.join(client)
                conversation.greet(client)
                with _expiring(conversation, client, setup.scenario.lifetime_s):
                    await client.converse(conversation)
            finally:
                await conversation.close()

    def _client(self, websocket: WebSocket, line: Line) -> WebSocketClient:
        return WebSocketClient(websocket, line, on_faults=lambda texts: self._desk.ask(line, texts))


@contextlib.contextmanager
def _expiring(conversation: Conversation, client: WebSocketClient, lifetime_s: int) -> Generator[None]:
    """End the session when it has lived as long as a session may."""

    def expire() -> None:
        conversation.stream.emit(
            ServerError(
                ErrorDetail(type="invalid_request_error", code="session_expired", message=EXPIRED_REASON)
            )
        )
        client.end(EXPIRED_CODE, EXPIRED_REASON)

    timer = asyncio.get_running_loop().call_later(lifetime_s, expire)
    try:
        yield
    finally:
        timer.cancel()
