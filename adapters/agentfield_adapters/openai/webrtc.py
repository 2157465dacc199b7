"""openai/webrtc: media flows between the caller and the provider; events come by the sideband.

The call is made here, with the server's key, so no key reaches a browser; and the sideband is joined before
the browser has the answer, so no event of the call is missed. A phone call rings at the provider instead
(SIP), and is answered here the same way.
"""

import contextlib
from typing import Any

from agentfield_adapters.openai.adapter import RealtimeAdapter
from agentfield_adapters.openai.call_guard import CallGuard
from agentfield_adapters.openai.calls import CallsApi
from agentfield_adapters.openai.connection import LiveConnection
from agentfield_adapters.openai.dialing import open_socket
from agentfield_adapters.openai.endpoint import endpoint
from agentfield_adapters.openai.interruption import silence_call, stop_at_call
from agentfield_adapters.openai.replay import restore
from agentfield_adapters.openai.responses import Response
from agentfield_adapters.openai.session_object import session_object
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.items import History
from agentfield_rt.ports import Connection, ConnectRequest

_UNAVAILABLE = 480  # SIP: Temporarily Unavailable


class WebrtcAdapter(RealtimeAdapter):
    """One call and the sideband socket that watches and steers it. Implements `PhoneAdapter` too."""

    carries_audio = False
    _call_id: str | None = None
    _guard: CallGuard | None = None
    _is_phone_call = False
    _joined = 0
    _over: tuple[str, ...] = ()

    async def refer(self, target_uri: str) -> None:
        """See `PhoneAdapter.refer`. A call that a browser made cannot be handed on."""
        self._require_live()
        if self._call_id is None or not self._is_phone_call:
            raise ProviderError(
                "this call comes from a browser; only a phone call can be handed on",
                reason=Reason.INVALID_REQUEST,
            )
        await self._calls().refer(self._call_id, target_uri)

    async def reject(self, call_id: str, *, sip_status: int) -> None:
        """See `PhoneAdapter.reject`."""
        await self._calls().reject(call_id, sip_status=sip_status)

    async def _open(self, request: ConnectRequest) -> Connection:
        """Make a call for the offer, or answer the one that rings; else join what is going on once more."""
        session = session_object(request.config, self.dialect, carries_audio=False)
        begun = {**session, "model": request.config.model or self.dialect.model}
        answer_sdp: str | None = None
        restored: int | None = None
        if request.offer_sdp is not None:
            call = await self._calls().create(request.offer_sdp, begun)
            answer_sdp = call.answer_sdp
            await self._begin(call.call_id, session)
            restored = await self._restore(request.history, session)
        elif request.incoming_call_id is not None:
            await self._answer_phone(request.incoming_call_id, begun)
            await self._begin(request.incoming_call_id, session, is_phone_call=True)
        elif self._call_id is None:
            raise ProviderError("a call needs the SDP offer of the caller", reason=Reason.INVALID_REQUEST)
        else:
            live = await self._join(self._call_id, session)
            await silence_call(live, self._over)
        assert self._call_id is not None
        connection_id = self._call_id if self._joined == 1 else f"{self._call_id}.{self._joined}"
        return Connection(
            session_id=request.session_id,
            connection_id=connection_id,
            answer_sdp=answer_sdp,
            restored=restored,
        )

    async def _restore(self, history: History | None, session: dict[str, Any]) -> int | None:
        """A new call knows nothing of the one before; a sideband that is joined again does."""
        if history is None or self._live is None:
            return None
        return await restore(self._live, history, session)

    async def _answer_phone(self, call_id: str, session: dict[str, Any]) -> None:
        calls = self._calls()
        try:
            await calls.accept(call_id, session)
        except BaseException as failure:
            # It rings on otherwise, or is open with nobody there. Whichever it is, one of these ends it.
            if not isinstance(failure, ProviderError) or failure.reason is not Reason.NOT_FOUND:
                with contextlib.suppress(ProviderError):
                    await calls.reject(call_id, sip_status=_UNAVAILABLE)
                with contextlib.suppress(ProviderError):
                    await calls.hang_up(call_id)
            raise

    async def _begin(self, call_id: str, session: dict[str, Any], *, is_phone_call: bool = False) -> None:
        """Join a new call for the first time; without us it must not stay open."""
        self._call_id, self._joined, self._over = call_id, 0, ()
        self._guard, self._is_phone_call = CallGuard(session), is_phone_call
        try:
            await self._join(call_id, session)
        except BaseException as failure:
            # Also when whoever wanted it was cancelled. That takes 2 s at most.
            try:
                await self._calls().hang_up(call_id)
                self._call_id = None
            except ProviderError:
                if isinstance(failure, ProviderError):
                    failure.not_done = False
            raise failure

    async def _join(self, call_id: str, session: dict[str, Any]) -> LiveConnection:
        socket = await open_socket(endpoint(self.dialect, self._settings), call_id=call_id)
        self._joined += 1
        return await self._bring_up(socket, session, guard=self._guard, over=self._over)

    def _calls(self) -> CallsApi:
        return CallsApi(endpoint(self.dialect, self._settings))

    async def _stop(self, live: LiveConnection, response: Response, heard_ms: int | None) -> None:
        await stop_at_call(live, response)

    async def _hang_up(self, live: LiveConnection | None) -> None:
        if self._call_id is not None:
            call_id, self._call_id = self._call_id, None
            await self._calls().hang_up(call_id)
        if live is not None:
            await live.close()

    async def _retire(self, live: LiveConnection, request: ConnectRequest) -> None:
        self._over = tuple(live.conversation.response_ids)
        live.abort()
        if request.offer_sdp is not None:
            await self._hang_up(None)
