"""The HTTP of it: one request for an answer, one for a transcript, one to see whether the key is good.

Knows no conversation. Timeouts of an answer's stream are its reader's business.
"""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import msgspec

from agentfield_adapters.openai.endpoint import Endpoint, tls_context
from agentfield_adapters.openrouter.conversation import wav
from agentfield_adapters.openrouter.dialect import TurnsDialect
from agentfield_adapters.openrouter.failures import TurnFailed, broken_off, refused
from agentfield_rt.errors import Reason

CONNECT_S = 4.0
WRITE_S = 10.0
PROBE_S = 10.0
TRANSCRIBE_S = 15.0
_IDLE_S = 20.0  # servers drop idle connections without a word: rather a new one than one that is gone
_CONNECTIONS_MAX = 8
_BODY_BYTES_MAX = 256 * 1024
_SENT = "http11.send_request_body.complete"
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_NO_SUCH_THING = frozenset({404, 405, 410, 415, 501})


class NoTranscripts(Exception):
    """The server does not transcribe; asking again is no use."""


class _Transcript(msgspec.Struct, frozen=True, gc=False):
    text: str


class _Refused(msgspec.Struct, frozen=True, gc=False):
    error: Any


class ChatClient:
    """One server, for one session. `aclose` lets go of its connections."""

    def __init__(self, endpoint: Endpoint, dialect: TurnsDialect) -> None:
        self._endpoint = endpoint
        self._dialect = dialect
        self._http = httpx.AsyncClient(
            # A compressed stream could swell without bound.
            headers={**endpoint.headers, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(connect=CONNECT_S, pool=CONNECT_S, write=WRITE_S, read=None),
            limits=httpx.Limits(max_connections=_CONNECTIONS_MAX, keepalive_expiry=_IDLE_S),
            trust_env=endpoint.through_proxy,
            verify=tls_context() if endpoint.is_secure else False,
        )

    def without_key(self, said: bytes) -> bytes:
        """What the server said; see `Endpoint.without_key`."""
        return self._endpoint.without_key(said)

    async def aclose(self) -> None:
        """Close every connection; a stream that is being read breaks."""
        await self._http.aclose()

    async def probe(self) -> None:
        """See whether the server is there and takes the key, as far as it can be asked for nothing.

        Raises:
            TurnFailed: it is not, or does not; nothing was done.
        """
        try:
            with self._failures("looking for the provider"):
                request = self._http.build_request(
                    "GET", self._endpoint.url(self._dialect.probe_path), timeout=PROBE_S
                )
                response = await self._http.send(request, stream=True)
                await response.aclose()
        except TurnFailed as failure:  # it asked for nothing
            reason = Reason.TIMEOUT if failure.reason is Reason.TIMEOUT else Reason.UNAVAILABLE
            raise TurnFailed(str(failure), reason=reason, not_done=True) from None
        status = response.status_code
        if status in (401, 429) or status >= 500:
            raise refused(status, retry_after=response.headers.get("retry-after"))

    @asynccontextmanager
    async def completion(
        self, body: dict[str, Any], *, taken: Callable[[], None]
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Ask for an answer and read its stream; leaving the block closes it, which cancels the answer.

        Args:
            body: Of `POST /chat/completions`.
            taken: Called once the socket has taken the whole request.

        Raises:
            TurnFailed: the request was refused, or the connection broke while it was sent or read.
        """

        async def trace(name: str, info: dict[str, Any]) -> None:
            if name == _SENT:
                taken()

        with self._failures("answering"):
            async with self._http.stream(
                "POST",
                self._endpoint.url("chat/completions"),
                content=msgspec.json.encode(body),
                headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
                extensions={"trace": trace},
            ) as response:
                if response.status_code != 200:
                    raise refused(response.status_code, retry_after=response.headers.get("retry-after"))
                taken()  # also if the answer came before all of the request was read
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise _no_stream(await _bounded(response))
                yield response.aiter_raw()

    async def transcript(self, pcm: bytes, prompt: str | None) -> str:
        """The words of a turn: mono int16 PCM at 24 kHz.

        Raises:
            NoTranscripts: the server has no such endpoint.
            TurnFailed: it did not understand, or did not answer in time.
        """
        model = self._dialect.server.transcription_model
        sound = wav(pcm)
        sent: dict[str, Any]
        if self._dialect.json_transcription:
            sent = {"json": {"model": model, "input_audio": {"data": _base64(sound), "format": "wav"}}}
        else:
            form = {"model": model, "response_format": "json", **({"prompt": prompt} if prompt else {})}
            sent = {"data": form, "files": {"file": ("turn.wav", sound, "audio/wav")}}
        with self._failures("transcribing"):
            async with self._http.stream(
                "POST", self._endpoint.url("audio/transcriptions"), timeout=TRANSCRIBE_S, **sent
            ) as response:
                if response.status_code in _NO_SUCH_THING:
                    raise NoTranscripts
                if response.status_code != 200:
                    raise refused(response.status_code)
                answer = self._endpoint.without_key(await _bounded(response))
        try:
            return msgspec.json.decode(answer, type=_Transcript).text
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise TurnFailed(
                "the provider's transcript cannot be read", reason=Reason.PROTOCOL, not_done=False
            ) from None

    @contextmanager
    def _failures(self, doing: str) -> Generator[None]:
        """The network's failures in our words; only what was never sent has certainly not been done."""
        try:
            yield
        except httpx.TimeoutException as late:
            raise TurnFailed(
                f"the provider did not answer in time while {doing}",
                reason=Reason.TIMEOUT,
                not_done=isinstance(late, _NEVER_SENT),
            ) from None
        except (httpx.TransportError, httpx.StreamError, httpx.DecodingError) as broken:
            never_sent = isinstance(broken, _NEVER_SENT)
            name = type(broken).__name__
            raise TurnFailed(
                f"the provider cannot be reached at {self._endpoint.base_url} ({name})"
                if never_sent
                else f"the provider's connection broke while {doing} ({name})",
                reason=Reason.UNAVAILABLE if never_sent else Reason.CONNECTION_LOST,
                not_done=never_sent,
            ) from None


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > _BODY_BYTES_MAX:
            raise TurnFailed("the provider's answer is too long", reason=Reason.PROTOCOL, not_done=False)
    return bytes(body)


def _no_stream(body: bytes) -> TurnFailed:
    """A whole answer where a stream was asked for: some servers report their errors so, with status 200."""
    try:
        return broken_off(msgspec.json.decode(body, type=_Refused).error)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return TurnFailed("the provider's answer is no stream", reason=Reason.PROTOCOL, not_done=False)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
