"""A sink that posts to a web address, signed as Standard Webhooks says (https://www.standardwebhooks.com).

Needs httpx: `pip install 'agentfield-rt[openai]'` or `[all]`.
"""

from types import TracebackType
from typing import Self

import httpx

from agentfield_rt.errors import Reason
from agentfield_rt.ports import Clock, system_clock
from agentfield_rt.sinks import Parcel, SinkError
from agentfield_rt.webhooks import WebhookSecret

__all__ = ["WebhookSink"]

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_REFUSED = {
    401: Reason.UNAUTHORIZED,
    403: Reason.UNAUTHORIZED,
    404: Reason.NOT_FOUND,
    410: Reason.NOT_FOUND,
    429: Reason.RATE_LIMITED,
}
_IN_DOUBT = frozenset({408})
"""The receiver gave up waiting; it may have acted on what it had."""


class WebhookSink:
    """Posts each parcel to one address.

    The body is the output as it is. `webhook-id` is the parcel's dedupe key, the same for every try, so that
    a receiver that remembers it takes an output once; `webhook-signature` is HMAC-SHA256 over id, time and
    body. An answer of 2xx is done. Another of 3xx or 4xx is a refusal, which changed nothing there. One of
    5xx, or none after the request was sent, leaves it in doubt. Redirects are not followed.

    Args:
        url: Where to. It is shown in no repr and no error.
        secret: `whsec_` and 24 to 64 bytes as base64.
        name: Stands in the journal in place of the address.
        client: One of your own, which you close; otherwise `aclose`, or leaving `async with`, closes ours.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        name: str = "webhook",
        client: httpx.AsyncClient | None = None,
        clock: Clock = system_clock,
    ) -> None:
        if httpx.URL(url).scheme not in ("http", "https"):
            raise ValueError("a webhook's address begins with https:// or http://")
        self.name = name
        self._url = url
        self._secret = WebhookSecret(secret)
        self._clock = clock
        self._owns_client = client is None
        self._client = client or httpx.AsyncClient(timeout=None)  # whoever delivers sets the deadline

    def __repr__(self) -> str:
        return f"WebhookSink(name={self.name!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._owns_client:
            await self._client.aclose()

    async def send(self, parcel: Parcel) -> str | None:
        """See `Sink.send`. The receipt is the status code."""
        try:
            answer = await self._client.post(
                self._url, content=parcel.body, headers=self._headers(parcel), follow_redirects=False
            )
        except _NEVER_SENT as error:
            message = f"webhook {self.name} was not reached: {type(error).__name__}"
            raise SinkError(message, reason=Reason.UNAVAILABLE, not_done=True) from None
        except httpx.HTTPError as error:
            message = f"webhook {self.name} did not answer: {type(error).__name__}"
            raise SinkError(message, reason=Reason.CONNECTION_LOST, not_done=False) from None
        status = answer.status_code
        if answer.is_success:
            return str(status)
        is_refusal = status < 500 and status not in _IN_DOUBT
        reason = _REFUSED.get(status, Reason.INVALID_REQUEST if is_refusal else Reason.UNAVAILABLE)
        message = f"webhook {self.name} answered {status}"
        raise SinkError(message, reason=reason, not_done=is_refusal)

    def _headers(self, parcel: Parcel) -> dict[str, str]:
        at_s = self._clock() // 1_000_000_000
        signed = self._secret.headers(parcel.dedupe_key, parcel.body, at_s=at_s)
        return {"content-type": parcel.content_type, **signed}
