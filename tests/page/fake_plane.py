"""A control plane for the page's tests: the HTTP API over a real socket, its answers told by the test.

Holds no rules of a real plane (no journal, no provider): what a session's events say is the test's script.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, Generator
from importlib.resources import files
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.page.fake_peer import FakePeer
from tests.page.fake_session import FakeSession

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HINTS = ["where is order four", "cancel order seven", "tell me a long story"]
TIMELINE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 120">'
    '<rect width="800" height="120" fill="#fff"/>'
    '<rect x="40" y="30" width="160" height="20" fill="#2b54c4"/>'
    '<rect x="230" y="70" width="300" height="20" fill="#0c665f"/></svg>'
)


class FakePlane:
    """The server; `sessions` are those that were started."""

    def __init__(self) -> None:
        self.url = ""
        self.dead = False
        self.sessions: list[FakeSession] = []
        self.start_refusal: tuple[int, str] | None = None
        self.offer_refusal: tuple[int, str] | None = None
        self.answers = True
        self.answer_is_dead = False
        self.connects = True
        self.ends_on_close = True
        self.chain_is_broken = False
        self.seals = False
        self.records = False
        self.tone_hz = 440
        self.takes_media_offers = False
        self.ice: dict[str, Any] = {}
        self.targets = [
            self._target("voice", "webrtc"),
            self._target("voice-websocket", "websocket"),
        ]
        self._started: asyncio.Queue[FakeSession] = asyncio.Queue()
        self._closing = asyncio.Event()
        self.peers: list[FakePeer] = []

    @staticmethod
    def _target(name: str, transport: str) -> dict[str, Any]:
        return {
            "target": f"voice-support.{name}", "provider": "local", "transport": transport,
            "modalities": ["audio", "text"], "tools": ["voice-support.resolve_turn"], "tags": [],
            "metadata": {"title": "Order desk", "hints": HINTS},
        }  # fmt: skip

    async def session(self) -> FakeSession:
        """The next session that the page starts."""
        return await asyncio.wait_for(self._started.get(), 10)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncGenerator["FakePlane"]:
        """Listens on a free port of loopback."""
        config = uvicorn.Config(
            self._app(), host="127.0.0.1", port=0, log_level="error", ws="websockets-sansio", lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = _Server(config)
        serving = asyncio.create_task(server.serve())
        await server.listening.wait()
        host, port = server.servers[0].sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            self._closing.set()
            for session in self.sessions:
                await session.drop_readers()
            for peer in self.peers:
                await peer.close()
            server.should_exit = True
            await serving

    def _app(self) -> ASGIApp:
        instance = "/api/v1/session-instances/{session_id}"
        routes = [
            Route("/api/v1/session-targets", self._list_targets),
            Route("/api/v1/session-targets/{target}/start", self._start, methods=["POST"]),
            Route(f"{instance}/realtime-offer", self._offer, methods=["POST"]),
            Route(f"{instance}/media-offer", self._offer, methods=["POST"]),
            Route(f"{instance}/input", self._input, methods=["POST"]),
            Route(f"{instance}/interrupt", self._interrupt, methods=["POST"]),
            Route(f"{instance}/close", self._close, methods=["POST"]),
            Route(f"{instance}/events", self._events),
            Route(f"{instance}/verify", self._verify),
            Route(f"{instance}/replay", self._replay),
            Route(f"{instance}/timeline.svg", self._timeline),
            WebSocketRoute(f"{instance}/media", self._media),
            Mount("/", StaticFiles(directory=str(files("agentfield_rt.plane") / "static"), html=True)),
        ]
        return _Guarded(Starlette(routes=routes))

    def _of(self, request: Request | WebSocket) -> FakeSession:
        session_id = request.path_params["session_id"]
        return next(session for session in self.sessions if session.session_id == session_id)

    async def _list_targets(self, request: Request) -> Response:
        return JSONResponse({"targets": self.targets})

    async def _start(self, request: Request) -> Response:
        if self.start_refusal:
            return _refusal(self.start_refusal)
        target = next(known for known in self.targets if known["target"] == request.path_params["target"])
        session = FakeSession(len(self.sessions) + 1, target)
        self.sessions.append(session)
        self._started.put_nowait(session)
        base = f"/api/v1/session-instances/{session.session_id}"
        answer = {
            "session_id": session.session_id, "run_id": f"run_{len(self.sessions)}",
            "target": target["target"], "provider": "local", "transport": target["transport"],
            "offer_url": f"{base}/realtime-offer", "events_url": f"{base}/events",
            "media_url": f"{base}/media", "recorded": self.records, **self.ice,
        }  # fmt: skip
        if self.takes_media_offers and target["transport"] == "websocket":
            answer["media_offer_url"] = f"{base}/media-offer"
        await session.record("session_started", target=target["target"], provider="local")
        return JSONResponse(answer, 201)

    async def _offer(self, request: Request) -> Response:
        session = self._of(request)
        offer = (await request.body()).decode()
        session.offers.append(offer)
        if self.offer_refusal:
            return _refusal(self.offer_refusal)
        if not self.answers:
            await self._closing.wait()
            return Response()
        peer = FakePeer(self.tone_hz)
        self.peers.append(peer)
        answer = await peer.answer(offer)
        if self.answer_is_dead:
            answer = _without_candidates(answer)
            await peer.close()
        if self.connects:
            await self.connect(session)
        return Response(answer, media_type="application/sdp")

    async def connect(self, session: FakeSession) -> None:
        """Journal the connection; the session takes text from then on."""
        await session.record("realtime_connect_requested", "op_connect")
        await session.record("realtime_connected", "op_connect", connection_id="con_1", after_ms=40)
        session.connected.set()

    async def _input(self, request: Request) -> Response:
        session = self._of(request)
        if not session.connected.is_set():
            return _refusal((409, "the session is not connected"))
        session.texts.put_nowait((await request.json())["text"])
        return JSONResponse({"turn_id": "turn_1"}, 202)

    async def _interrupt(self, request: Request) -> Response:
        self._of(request).interrupts.put_nowait(None)
        return JSONResponse({}, 202)

    async def _close(self, request: Request) -> Response:
        session = self._of(request)
        reason = (await request.json()).get("reason", "normal")
        if not session.closed.done():
            session.closed.set_result(reason)
            if self.ends_on_close:
                await session.record("session_ended", reason=reason)
                await session.end()
        return JSONResponse({"session_id": session.session_id, "status": "closed"})

    async def _events(self, request: Request) -> Response:
        session = self._of(request)
        if self.dead:
            return _refusal((502, "nobody is there"))
        after = int(request.headers.get("last-event-id", request.query_params.get("after", "0")))
        session.cursors.append(after)
        return StreamingResponse(session.stream(after), media_type="text/event-stream")

    async def _verify(self, request: Request) -> Response:
        if self.chain_is_broken:
            return JSONResponse({"ok": False, "records": 12, "head": "9f" * 32})
        records = self._of(request).last_seq + 1 if self.seals else 214
        return JSONResponse({"ok": True, "records": records, "head": "9f" * 32})

    async def _replay(self, request: Request) -> Response:
        """The run's last record, of which no event tells."""
        seq = int(request.query_params["after"]) + 1
        record: dict[str, Any] = {
            "seq": seq,
            "kind": "run_completed",
            "at_ms": 1.0,
            "data": {},
            "content": {},
        }
        lines = json.dumps(record) + "\n" if self.seals else ""
        return Response(lines, media_type="application/x-ndjson")

    async def _timeline(self, request: Request) -> Response:
        return Response(TIMELINE, media_type="image/svg+xml")

    async def _media(self, socket: WebSocket) -> None:
        session = self._of(socket)
        await socket.accept()
        session.media = socket
        await socket.send_json({"type": "ready"})
        await self.connect(session)
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                session.hear(await socket.receive_bytes())


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the process's signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Guarded:
    """Adds the policy a real plane sends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
            await send(message)

        await self._app(scope, receive, send_guarded if scope["type"] == "http" else send)


def _refusal(refusal: tuple[int, str]) -> Response:
    status, error = refusal
    return JSONResponse({"error": error}, status)


def _without_candidates(sdp: str) -> str:
    lines = [line for line in sdp.splitlines() if not line.startswith("a=candidate")]
    return "\r\n".join(lines) + "\r\n"
