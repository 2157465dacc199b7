"""Makes, answers, hands on and ends calls with the server's key (OpenAI: `/realtime/calls`). No media."""

import re
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from agentfield_adapters.openai.endpoint import Endpoint, tls_context
from agentfield_adapters.openai.failures import refused
from agentfield_rt.errors import ProviderError, Reason

CREATE_S = 10.0  # the runtime gives up on a connect after 15 s, and knows less about the reason
REFER_S = 8.0  # and on handing on after 10 s
HANG_UP_S = 2.0
_NO_SIP_FIELDS = ("threshold", "prefix_padding_ms", "silence_duration_ms")
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
        location = self._endpoint.without_key(response.headers.get("location", "").encode()).decode()
        call_id = location.rstrip("/").rpartition("/")[2]
        if response.status_code != _CREATED or not _CALL_ID.fullmatch(call_id):
            raise ProviderError("the provider's answer names no call", reason=Reason.PROTOCOL, not_done=False)
        try:
            return Call(call_id, body.decode())
        except UnicodeDecodeError:
            await self.hang_up(call_id)
            raise ProviderError("the provider's answer is not SDP", reason=Reason.PROTOCOL) from None

    async def accept(self, call_id: str, session: dict[str, Any]) -> None:
        """Answer a phone call that rings; its session begins with `session`.

        How long a silence ends a turn cannot be said here, only by a `session.update` afterwards.

        Raises:
            ProviderError: it still rings, or is gone; or, with `not_done` false, is perhaps answered.
        """
        await self._post(
            f"realtime/calls/{call_id}/accept",
            within_s=CREATE_S,
            doing="answering the phone",
            json=_for_sip(session),
        )

    async def reject(self, call_id: str, *, sip_status: int) -> None:
        """Refuse a phone call that rings; the caller's telephone shows why by the SIP status.

        Raises:
            ProviderError: it may ring on.
        """
        await self._post(
            f"realtime/calls/{call_id}/reject",
            within_s=HANG_UP_S,
            doing="refusing the call",
            json={"status_code": sip_status},
        )

    async def refer(self, call_id: str, target_uri: str) -> None:
        """Let a phone call go on at a `tel:` or `sip:` address (SIP: REFER).

        Raises:
            ProviderError: it was not handed on; or, with `not_done` false, perhaps it was.
        """
        await self._post(
            f"realtime/calls/{call_id}/refer",
            within_s=REFER_S,
            doing="handing the call on",
            json={"target_uri": target_uri},
        )

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
        self, path: str, *, within_s: float, doing: str, **body: Any
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
                http.stream("POST", endpoint.url(path), **body) as response,
            ):
                if not response.is_success:
                    raise refused(response.status_code, doing=doing)
                return response, endpoint.without_key(await _bounded(response))
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


def _for_sip(session: dict[str, Any]) -> dict[str, Any]:
    """Without what is refused for a phone call: there the provider decides when a turn has ended."""
    audio = session["audio"]
    detection = audio["input"]["turn_detection"]
    if detection is None:
        return session
    kept = {name: value for name, value in detection.items() if name not in _NO_SIP_FIELDS}
    return {**session, "audio": {**audio, "input": {**audio["input"], "turn_detection": kept}}}


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _ANSWER_BYTES_MAX:
            raise ProviderError("the provider's answer is too long", reason=Reason.PROTOCOL, not_done=False)
    return bytes(body)
