"""openai/websocket: media flows through this process, as PCM inside the events."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from agentfield_adapters.openai.adapter import RealtimeAdapter
from agentfield_adapters.openai.client_events import AudioAppend
from agentfield_adapters.openai.connection import LiveConnection
from agentfield_adapters.openai.dialing import open_socket
from agentfield_adapters.openai.endpoint import endpoint
from agentfield_adapters.openai.interruption import stop_at_socket
from agentfield_adapters.openai.replay import restore
from agentfield_adapters.openai.responses import Response
from agentfield_adapters.openai.session_object import session_object
from agentfield_adapters.openai.wire_audio import decoder, encoder
from agentfield_rt.core.names import is_name
from agentfield_rt.errors import ProviderError
from agentfield_rt.frames import TurnEndFrame
from agentfield_rt.items import History
from agentfield_rt.ports import Connection, ConnectRequest


class WebsocketAdapter(RealtimeAdapter):
    """One websocket is one provider session: it begins and ends with it."""

    carries_audio = True

    async def _open(self, request: ConnectRequest) -> Connection:
        config = request.config
        self._encoder = encoder(config.input_format)
        decoder(config.output_format)  # refuses here what would fail at the first word otherwise
        socket = await open_socket(
            endpoint(self.dialect, self._settings), model=config.model or self.dialect.model
        )
        session = session_object(config, self.dialect, carries_audio=True)
        if request.history is None:
            live = await self._bring_up(socket, session)
            return Connection(session_id=request.session_id, connection_id=_connection_id(live))
        quiet = session_object(replace(config, create_response=False), self.dialect, carries_audio=True)
        live = await self._bring_up(socket, quiet)
        restored = await self._restore(live, request.history, session)
        return Connection(
            session_id=request.session_id, connection_id=_connection_id(live), restored=restored
        )

    async def _restore(self, live: LiveConnection, history: History, session: dict[str, Any]) -> int:
        """What was said, and what the user was saying."""
        try:
            restored = await restore(live, history, session)
            for pcm in self._held.again():
                if pcm is None:
                    await live.submit(TurnEndFrame(f"again_{uuid4().hex}"))
                else:
                    audio = pcm if self._encoder is None else self._encoder.encoded(pcm)
                    await live.send(AudioAppend(audio=audio))
        except ProviderError as failure:
            # A session that was never usable has had no effect, however it ended.
            raise ProviderError(str(failure), reason=failure.reason, retryable=failure.retryable) from None
        return restored

    async def _stop(self, live: LiveConnection, response: Response, heard_ms: int | None) -> None:
        await stop_at_socket(live, response, heard_ms if self.dialect.truncates else None)

    async def _hang_up(self, live: LiveConnection | None) -> None:
        if live is not None:
            await live.close()

    async def _retire(self, live: LiveConnection, request: ConnectRequest) -> None:
        # No goodbye: the old connection may be half open, and the caller hears every moment of waiting.
        live.abort()


def _connection_id(live: LiveConnection) -> str:
    """The provider's name for its session, and ours behind it: a server that starts anew may count anew."""
    ours = uuid4().hex
    both = f"{live.provider_session_id}.{ours}"
    return both if live.provider_session_id and is_name(both) else f"conn_{ours}"
