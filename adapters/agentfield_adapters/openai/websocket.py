"""openai/websocket: media flows through this process, as PCM inside the events."""

from uuid import uuid4

from agentfield_adapters.openai.adapter import RealtimeAdapter
from agentfield_adapters.openai.connection import LiveConnection
from agentfield_adapters.openai.dialing import open_socket
from agentfield_adapters.openai.endpoint import endpoint
from agentfield_adapters.openai.interruption import stop_at_socket
from agentfield_adapters.openai.responses import Response
from agentfield_adapters.openai.session_object import session_object
from agentfield_adapters.openai.wire_audio import decoder, encoder
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
        live = await self._bring_up(socket, session)
        return Connection(
            session_id=request.session_id, connection_id=live.provider_session_id or f"conn_{uuid4().hex}"
        )

    async def _stop(self, live: LiveConnection, response: Response, heard_ms: int | None) -> None:
        await stop_at_socket(live, response, heard_ms if self.dialect.truncates else None)

    async def _hang_up(self, live: LiveConnection | None) -> None:
        if live is not None:
            await live.close()

    async def _retire(self, live: LiveConnection, request: ConnectRequest) -> None:
        # No goodbye: the old connection may be half open, and the caller hears every moment of waiting.
        live.abort()
