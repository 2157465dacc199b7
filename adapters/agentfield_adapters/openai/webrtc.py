"""openai/webrtc: media flows between the caller's browser and the provider; events come by the sideband.

The call is made here, with the server's key, so no key reaches a browser; and the sideband is joined before
the browser has the answer, so no event of the call is missed.
"""

from typing import Any

from agentfield_adapters.openai.adapter import RealtimeAdapter
from agentfield_adapters.openai.calls import CallsApi
from agentfield_adapters.openai.connection import LiveConnection
from agentfield_adapters.openai.dialing import open_socket
from agentfield_adapters.openai.endpoint import endpoint
from agentfield_adapters.openai.interruption import stop_at_call
from agentfield_adapters.openai.responses import Response
from agentfield_adapters.openai.session_object import session_object
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.ports import Connection, ConnectRequest


class WebrtcAdapter(RealtimeAdapter):
    """One call and the sideband socket that watches and steers it."""

    carries_audio = False
    _call_id: str | None = None
    _joined = 0
    _over: tuple[str, ...] = ()

    async def _open(self, request: ConnectRequest) -> Connection:
        """Make a call for the offer; without an offer, join the call that is going on once more."""
        session = session_object(request.config, self.dialect, carries_audio=False)
        if request.offer_sdp is not None:
            model = request.config.model or self.dialect.model
            return await self._new_call(request, {**session, "model": model}, session)
        if self._call_id is None:
            raise ProviderError("a call needs the SDP offer of the caller", reason=Reason.INVALID_REQUEST)
        await self._join(self._call_id, session)
        return Connection(session_id=request.session_id, connection_id=f"{self._call_id}.{self._joined}")

    async def _new_call(
        self, request: ConnectRequest, offered: dict[str, Any], session: dict[str, Any]
    ) -> Connection:
        calls = CallsApi(endpoint(self.dialect, self._settings))
        call = await calls.create(request.offer_sdp or "", offered)
        self._call_id, self._joined, self._over = call.call_id, 0, ()
        try:
            await self._join(call.call_id, session)
        except BaseException as failure:
            # Nobody has the answer yet, so the call is silent; but it must not stay open, not even when
            # whoever wanted it was cancelled. That takes 2 s at most.
            try:
                await calls.hang_up(call.call_id)
                self._call_id = None
            except ProviderError:
                if isinstance(failure, ProviderError):
                    failure.not_done = False
            raise failure
        return Connection(
            session_id=request.session_id, connection_id=call.call_id, answer_sdp=call.answer_sdp
        )

    async def _join(self, call_id: str, session: dict[str, Any]) -> None:
        socket = await open_socket(endpoint(self.dialect, self._settings), call_id=call_id)
        self._joined += 1
        await self._bring_up(socket, session, sideband=True, over=self._over)

    async def _stop(self, live: LiveConnection, response: Response, heard_ms: int | None) -> None:
        await stop_at_call(live, response)

    async def _hang_up(self, live: LiveConnection | None) -> None:
        if self._call_id is not None:
            call_id, self._call_id = self._call_id, None
            await CallsApi(endpoint(self.dialect, self._settings)).hang_up(call_id)
        if live is not None:
            await live.close()

    async def _retire(self, live: LiveConnection, request: ConnectRequest) -> None:
        self._over = tuple(live.conversation.response_ids)
        live.abort()
        if request.offer_sdp is not None:
            await self._hang_up(None)
