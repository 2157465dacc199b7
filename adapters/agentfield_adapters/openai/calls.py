"""Makes and ends WebRTC calls with the server's key (OpenAI: `/realtime/calls`). Sees no media."""

import re
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from agentfield_adapters.openai.endpoint import Endpoint, tls_context
from agentfield_adapters.openai.failures import refused
from agentfield_rt.errors import ProviderError, Reason

CREATE_S = 10.0  # the runtime gives up on a connect after 15 s, and knows less about the reason
HANG_UP_S = 2.0
_CREATED = 201
_ANSWER_BYTES_MAX = 256 * 1024
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Call:
    """A call the provider accepted; the caller's browser needs the answer."""

    call_id: str
    answer_sdp: str


class CallsApi:
    """One provider's calls. Holds no connection between requests."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def create(self, offer_sdp: str, session: dict[str, Any]) -> Call:
        """Answer a caller's offer with a new call.

        Raises:
            ProviderError: there is no call; or, with `not_done` false, perhaps one that nobody can name.
        """
        files = {
            "sdp": (None, offer_sdp, "application/sdp"),
            "session": (None, msgspec.json.encode(session), "application/json"),
        }
        response, body = await self._post(
            "realtime/calls", within_s=CREATE_S, doing="making the call", files=files
        )
        call_id = response.headers.get("location", "").rstrip("/").rpartition("/")[2]
        if response.status_code != _CREATED or not _CALL_ID.fullmatch(call_id):
            raise ProviderError("the provider's answer names no call", reason=Reason.PROTOCOL, not_done=False)
        try:
            return Call(call_id, body.decode())
        except UnicodeDecodeError:
            await self.hang_up(call_id)
            raise ProviderError("the provider's answer is not SDP", reason=Reason.PROTOCOL) from None

    async def hang_up(self, call_id: str) -> None:
        """End a call; one that has ended already is fine.

        Raises:
            ProviderError: the call may go on.
        """
        try:
            await self._post(f"realtime/calls/{call_id}/hangup", within_s=HANG_UP_S, doing="hanging up")
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    async def _post(
        self, path: str, *, within_s: float, doing: str, files: Any = None
    ) -> tuple[httpx.Response, bytes]:
        endpoint = self._endpoint
        try:
            async with (
                httpx.AsyncClient(
                    headers=endpoint.headers,
                    timeout=within_s,
                    trust_env=endpoint.through_proxy,
                    verify=tls_context() if endpoint.is_secure else False,
                ) as http,
                http.stream("POST", endpoint.url(path), files=files) as response,
            ):
                if not response.is_success:
                    raise refused(response.status_code, doing=doing)
                return response, await _bounded(response)
        except httpx.TimeoutException as late:
            never_sent = isinstance(late, httpx.ConnectTimeout | httpx.PoolTimeout)
            raise ProviderError(
                f"the provider did not answer within {within_s:.0f} s while {doing}",
                reason=Reason.TIMEOUT,
                retryable=True,
                not_done=never_sent,
            ) from None
        except httpx.TransportError as broken:
            raise ProviderError(
                f"the provider cannot be reached at {endpoint.base_url} ({type(broken).__name__})",
                reason=Reason.UNAVAILABLE,
                retryable=True,
                not_done=isinstance(broken, httpx.ConnectError | httpx.ProxyError),
            ) from None


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _ANSWER_BYTES_MAX:
            raise ProviderError("the provider's answer is too long", reason=Reason.PROTOCOL, not_done=False)
    return bytes(body)
