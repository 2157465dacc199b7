"""A session whose provider ends every connection after two seconds, over real sockets: nobody notices."""

import asyncio
from unittest.mock import patch

import pytest

from agentfield_adapters.local.running import LocalProvider
from agentfield_adapters.openai import local_websocket_adapter
from agentfield_adapters.openai.websocket import WebsocketAdapter
from agentfield_journal import QueuedContentStore, StoreJournal
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.agent import UtteranceHandle
from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import records
from agentfield_rt.errors import Reason
from agentfield_rt.ports import Connection, ConnectRequest, ProviderSettings, SessionConfig
from agentfield_rt.run import Run, decode
from agentfield_rt.testing.scene import Desk, Listener
from agentfield_rt.voice.link import UtteranceState
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.spec import SessionServices, SessionSpec

SCENE = "senses: synthetic\npace: instant\nlifetime_s: 2\n"


@pytest.mark.asyncio
async def test_a_session_outlives_its_providers_sessions(af_provider: LocalProvider) -> None:
    af_provider.set_scenario(SCENE)
    journal, content = StoreJournal(MemoryStore()), QueuedContentStore(MemoryContent())
    run = await Run.open(journal, "run_1")
    config = SessionConfig(turn_detection={"type": "server_vad"})
    spec = SessionSpec(
        session_id="s1", target="desk.voice", provider="local", transport="websocket", config=config
    )
    adapter = local_websocket_adapter(ProviderSettings(base_url=af_provider.base_url()))
    session = VoiceSession(
        spec,
        run,
        controller=RealtimeSessionController(adapter, run, session_id="s1", config=config),
        services=SessionServices(content=content, executor=Desk()),
        handler=None,
    )
    replaced: asyncio.Queue[Connection] = asyncio.Queue()
    restart = WebsocketAdapter.restart

    async def noted(self: WebsocketAdapter, request: ConnectRequest) -> Connection:
        connection = await restart(self, request)
        replaced.put_nowait(connection)
        return connection

    session.start()
    with patch.object(WebsocketAdapter, "restart", noted):
        await session.connect(caller=Listener())
        for words in ("One.", "Two.", "Three."):
            said = UtteranceHandle(session.say(words, None))
            async with asyncio.timeout(10):
                await said
                connection = await replaced.get()
            assert (said.state, said.heard) == (UtteranceState.PLAYED, words)
            assert connection.restored is not None and connection.restored > 0
        await session.close()
        await session.ended()
    written = [decode(envelope) for envelope in await journal.read("run_1")]
    reasons = [record.reason for record in written if isinstance(record, records.RestartRequested)]
    assert reasons == [Reason.SESSION_EXPIRED] * 3
    assert not any(isinstance(record, records.ConnectionLost) for record in written), "none was let to end"
    await journal.close()
    await content.close()
