"""A control plane for the page's tests: the HTTP API over a real socket, its answers told by the test.

Holds no rules of a real plane (no journal, no provider): what a session's events say is the test's script.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
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

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HINTS = ["where is order four", "cancel order seven", "tell me a long story"]
TIMELINE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 120"><rect width="800" height="120" fill="#fff"/>'
    '<rect x="40" y="30" width="160" height="20" fill="#2b54c4"/>'
    '<rect x="230" y="70" width="300" height="20" fill="#0c665f"/></svg>'
)


class FakeSession:
    """One session: the test says what happens in it, and sees what the page asked for."""

    def __init__(self, plane: "FakePlane", number: int, target: dict[str, Any]) -> None:
        self.plane = plane
        self.session_id = f"ses_{number}"
        self.target = target
        self.clock_ms = 1_795_245_600_000.0
        self.texts: list[str] = []
        self.interrupts = 0
        self.offers: list[str] = []
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.connected = asyncio.Event()
        self.media: WebSocket | None = None
        self.heard = bytearray()
        self.cursors: list[int] = []
        self._seq = itertools.count(1)
        self._events: list[str] = []
        self._changed = asyncio.Condition()
        self._generation = 0
        self._over = False

    async def record(
        self, kind: str, op_id: str | None = None, turn_id: str | None = None, *, after_ms: float = 5, **data: Any
    ) -> int:
        """Journal a record, `after_ms` after the last. A `…_text` argument becomes content behind a `…_ref`."""
        self.clock_ms += after_ms
        content: dict[str, str] = {}
        for name in [name for name in data if name.endswith("_text")]:
            field = name.removesuffix("_text") + "_ref"
            ref = f"ref_{len(self._events)}_{field}"
            content[ref], data[field] = data.pop(name), ref
        seq = next(self._seq)
        view = {
            "seq": seq, "kind": kind, "at_ms": self.clock_ms, "session_id": self.session_id, "turn_id": turn_id,
            "op_id": op_id, "data": data, "content": content,
        }  # fmt: skip
        await self._publish(f"id: {seq}\nevent: record\ndata: {json.dumps(view)}\n\n")
        return seq

    async def live(self, kind: str, **fields: Any) -> None:
        await self._publish(f"event: live\ndata: {json.dumps({'type': kind, **fields})}\n\n")

    async def end(self) -> None:
        self._over = True
        await self._publish("event: end\ndata: {}\n\n")

    async def drop_readers(self) -> None:
        """Break every event stream, as a network does."""
        async with self._changed:
            self._generation += 1
            self._changed.notify_all()

    async def repeat_events(self) -> None:
        """Send every event again, as a server with a wrong cursor would."""
        for event in list(self._events):
            await self._publish(event)

    async def stream(self, after: int) -> AsyncIterator[str]:
        generation = self._generation
        at = next((index for index, event in enumerate(self._events) if _seq_of(event) > after), len(self._events))
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: at < len(self._events) or generation != self._generation)
            if generation != self._generation:
                return
            for event in self._events[at:]:
                yield event
                at += 1
            if self._over:
                return

    async def _publish(self, event: str) -> None:
        async with self._changed:
            self._events.append(event)
            self._changed.notify_all()


def _seq_of(event: str) -> int:
    first, _, _ = event.partition("\n")
    return int(first.removeprefix("id: ")) if first.startswith("id: ") else 0


class FakePlane:
    """The server; `sessions` are those that were started."""

    def __init__(self) -> None:
        self.url = ""
        self.dead = False
        self.sessions: list[FakeSession] = []
        self.start_refusal: tuple[int, str] | None = None
        self.offer_refusal: tuple[int, str] | None = None
        self.answer_is_dead = False
        self.connects = True
        self.ends_on_close = True
        self.chain_is_broken = False
        self.tone_hz = 440
        self.targets = [
            self._target("voice", "webrtc"),
            self._target("voice-websocket", "websocket"),
        ]
        self._started: asyncio.Queue[FakeSession] = asyncio.Queue()
        self._peers: list[FakePeer] = []

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
    async def serving(self) -> AsyncIterator["FakePlane"]:
        """Listens on a free port of loopback."""
        config = uvicorn.Config(
            self._app(), host="127.0.0.1", port=0, log_level="error", ws="websockets-sansio", lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = _Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        host, port = server.servers[0].sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            for session in self.sessions:
                await session.drop_readers()
            for peer in self._peers:
                await peer.close()
            server.should_exit = True
            await serving

    def _app(self) -> ASGIApp:
        instance = "/api/v1/session-instances/{session_id}"
        routes = [
            Route("/api/v1/session-targets", self._list_targets),
            Route("/api/v1/session-targets/{target}/start", self._start, methods=["POST"]),
            Route(f"{instance}/realtime-offer", self._offer, methods=["POST"]),
            Route(f"{instance}/input", self._input, methods=["POST"]),
            Route(f"{instance}/interrupt", self._interrupt, methods=["POST"]),
            Route(f"{instance}/close", self._close, methods=["POST"]),
            Route(f"{instance}/events", self._events),
            Route(f"{instance}/verify", self._verify),
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
        session = FakeSession(self, len(self.sessions) + 1, target)
        self.sessions.append(session)
        self._started.put_nowait(session)
        base = f"/api/v1/session-instances/{session.session_id}"
        answer = {
            "session_id": session.session_id, "run_id": f"run_{len(self.sessions)}", "target": target["target"],
            "provider": "local", "transport": target["transport"], "offer_url": f"{base}/realtime-offer",
            "events_url": f"{base}/events", "media_url": f"{base}/media",
        }  # fmt: skip
        await session.record("session_started", target=target["target"], provider="local")
        return JSONResponse(answer, 201)

    async def _offer(self, request: Request) -> Response:
        session = self._of(request)
        offer = (await request.body()).decode()
        session.offers.append(offer)
        if self.offer_refusal:
            return _refusal(self.offer_refusal)
        peer = FakePeer(self.tone_hz)
        self._peers.append(peer)
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
        session.texts.append((await request.json())["text"])
        return JSONResponse({"turn_id": f"turn_{len(session.texts)}"}, 202)

    async def _interrupt(self, request: Request) -> Response:
        self._of(request).interrupts += 1
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
        return JSONResponse({"ok": True, "records": 214, "head": "9f" * 32})

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
                session.heard += await socket.receive_bytes()


class _Server(uvicorn.Server):
    """Leaves the process's signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
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
