"""A control plane served for real, in a thread, over a provider that a test can hold."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentfield_adapters.scripted import ScriptedAdapter
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.config import Settings
from agentfield_rt.plane import providers
from agentfield_rt.plane.server import serve_async
from agentfield_rt.ports import AdapterFactory, Connection, ConnectRequest, ProviderSettings
from tests.voice.call import speaks

NOBODY = "http://127.0.0.1:9"
"""Where no provider listens: the adapters of these tests need none."""

FINGERPRINT = ":".join(["AB"] * 32)
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    "a=mid:0\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=setup:actpass\r\n"
    f"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {FINGERPRINT}\r\n"
)


class AnsweringAdapter(ScriptedAdapter):
    """Answers an SDP offer, and speaks."""

    def __init__(self) -> None:
        super().__init__(answer=speaks(audio_ms=100))

    async def connect(self, request: ConnectRequest) -> Connection:
        made = await super().connect(request)
        return Connection(
            session_id=made.session_id, connection_id=made.connection_id, answer_sdp="v=0\r\ns=answer\r\n"
        )


@dataclass
class Served:
    """A server that runs, and what a test may ask of it."""

    url: str
    data: Path
    adapters: list[AnsweringAdapter]
    client: httpx.Client
    loop: asyncio.AbstractEventLoop

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.client.post(path, json=body, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, **more)

    def start(self, target: str = "desk.phone") -> str:
        """Start a session and return its id."""
        answer = self.post(f"/api/v1/session-targets/{target}/start")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["session_id"])

    def execute(self, target: str, **arguments: Any) -> dict[str, Any]:
        """Run a reasoner and return its execution once it is over."""
        answer = self.post(f"/api/v1/execute/async/{target}", {"input": arguments})
        assert answer.status_code == 202, answer.text
        return self.finished(answer.json()["execution_id"])

    def finished(self, execution_id: str) -> dict[str, Any]:
        """An execution once it is over."""
        while True:
            execution: dict[str, Any] = self.get(f"/api/v1/executions/{execution_id}").json()
            if execution["status"] not in ("queued", "running"):
                return execution

    @contextmanager
    def events(self, session_id: str, **query: Any) -> Generator["Events"]:
        """A session's event stream."""
        path = f"/api/v1/session-instances/{session_id}/events"
        with self.client.stream("GET", path, params=query, timeout=20) as answer:
            assert answer.status_code == 200
            yield Events(answer)


class Events:
    """Server-sent events as a browser reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def __iter__(self) -> Generator[tuple[str, str | None, str]]:
        """(event, id, data), one after the other."""
        given: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(":")
            if line:
                given[name] = value.strip()
            elif "event" in given:
                yield given["event"], given.get("id"), given.get("data", "")
                given = {}

    def kinds(self, *, until: str = "end") -> list[tuple[int, str]]:
        """(seq, kind) of the records up to the first of a kind, or to the end."""
        found: list[tuple[int, str]] = []
        for event, number, data in self:
            if event == "end":
                break
            if event == "record" and number is not None:
                kind = httpx.Response(200, text=data).json()["kind"]
                found.append((int(number), kind))
                if kind == until:
                    break
        return found


def desk() -> Agent:
    """A node with sessions of every transport we carry, and a few reasoners."""
    app = Agent("desk", description="for tests")

    @app.reasoner()
    async def double(number: int) -> int:
        return number * 2

    @app.reasoner()
    async def fails(secret: str) -> None:
        raise ValueError(secret)

    @app.reasoner()
    async def resolve(text: str) -> str:
        doubled = await app.call("desk.double", number=len(text))
        return f"{text}: {doubled}"

    @app.reasoner()
    async def relies(secret: str) -> None:
        await app.call("desk.fails", secret=secret)

    @app.reasoner()
    async def waits() -> None:
        await asyncio.Event().wait()

    async def answers(session: RealtimeSession) -> None:
        async for turn in session.turns():
            await session.say(await session.call("desk.resolve", text=turn.text))

    app.session("phone", provider="local", transport="websocket", tools=["double"])(answers)
    app.session("page", provider="local", transport="webrtc", tools=["desk.double"])(answers)
    return app


@contextmanager
def served(
    data: Path, patch: pytest.MonkeyPatch, *, agents: Sequence[Agent] | None = None, **settings: Any
) -> Generator[Served]:
    """A server on a free port; at the end it stops and nothing of it is left."""
    adapters: list[AnsweringAdapter] = []

    def make(_: ProviderSettings) -> AnsweringAdapter:
        adapters.append(AnsweringAdapter())
        return adapters[-1]

    def factory(provider: str, transport: str) -> AdapterFactory:
        return make

    patch.setattr(providers, "adapter_factory", factory)
    settings = {"local_url": NOBODY, **settings}
    thread = _Thread(agents or [desk()], Settings(port=0, data=data, **settings))
    url = thread.begin()
    try:
        with httpx.Client(base_url=url, timeout=10) as client:
            yield Served(url, data, adapters, client, thread.loop)
    finally:
        thread.end()


@dataclass
class _Thread:
    agents: Sequence[Agent]
    settings: Settings
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def begin(self) -> str:
        self._ready = threading.Event()
        self._url = ""
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="server")
        self._thread.start()
        assert self._ready.wait(20)
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self._url

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server does not stop"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            try:
                runner.run(self._serve())
            except asyncio.CancelledError:
                pass
            except Exception as error:
                self._error = error
            finally:
                self._ready.set()

    async def _serve(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        await serve_async(self.agents, self.settings, on_ready=self._is_ready)

    def _is_ready(self, url: str) -> None:
        self._url = url
        self._ready.set()
