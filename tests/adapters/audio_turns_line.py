"""openrouter/audio_turns and a scripted server, each at one end of a real socket."""

import asyncio

from agentfield_adapters.openrouter import audio_turns_adapter
from agentfield_adapters.openrouter.adapter import AudioTurnsAdapter
from agentfield_rt.frames import (
    Notice,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    SpeechFrame,
)
from agentfield_rt.ports import ConnectRequest, ProviderSettings, SessionConfig, ToolSpec
from tests.adapters.chat_peer import ChatPeer, Exchange, spoken

KEY = "sk-canary-key"
MS = bytes(48)
CONFIG = SessionConfig(
    model="gpt-test",
    voice="coral",
    instructions="Take orders.",
    phrases=("a <drink> please",),
    rules={"drink": "coffee | tea"},
    tools=(ToolSpec(name="look_up", description="Looks up.", parameters={"type": "object"}),),
)
REQUEST = ConnectRequest(session_id="s1", config=CONFIG)


class Line:
    """A connected adapter and its server."""

    def __init__(self, peer: ChatPeer) -> None:
        self.peer = peer
        settings = ProviderSettings(base_url=peer.url, api_key=KEY)
        adapter = audio_turns_adapter(settings)
        assert isinstance(adapter, AudioTurnsAdapter)
        self.adapter = adapter
        self.seen: list[ProviderEvent] = []

    async def connect(self, request: ConnectRequest = REQUEST) -> None:
        await self.adapter.connect(request)

    async def asked(self, frame: SpeechFrame | None = None) -> tuple[str, Exchange]:
        """Ask for an answer: the response's id, and its request."""
        frame = frame or SpeechFrame("f1", "u1")
        await self.adapter.send(frame)
        exchange = await self.peer.next()
        started = await self.until(ResponseStarted)
        assert isinstance(started, ResponseStarted) and started.utterance_id == frame.utterance_id
        return started.response_id, exchange

    async def answered(self, text: str, *, ms: int = 500, frame: SpeechFrame | None = None) -> str:
        """A whole answer of the server; the response's id."""
        response_id, exchange = await self.asked(frame)
        await exchange.begin()
        await exchange.give(*spoken(text, MS * ms))
        await exchange.done()
        await self.until(ResponseEnded)
        return response_id

    async def until(self, kind: type[ProviderEvent]) -> ProviderEvent:
        """The next event of a kind; what came before is in `seen`."""
        async with asyncio.timeout(5):
            while True:
                (event,) = await self.adapter.receive(demand=1)
                self.seen.append(event)
                if isinstance(event, kind):
                    return event

    async def ended(self) -> ResponseEnded:
        event = await self.until(ResponseEnded)
        assert isinstance(event, ResponseEnded)
        return event

    def notices(self) -> list[tuple[str, str | None]]:
        return [(event.name, event.code) for event in self.seen if isinstance(event, Notice)]

    def words(self) -> str:
        return "".join(event.text for event in self.seen if isinstance(event, OutputTranscript))
