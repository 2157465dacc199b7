"""A control plane as a command sees it, over HTTP. Every way it can fail is one line and an exit code."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import SplitResult, urlsplit

import httpx
import msgspec

from agentfield_rt.cli.connection import SERVER_DEFAULT, TIMEOUT_S
from agentfield_rt.cli.failures import ExitCode, Failure, exit_code_of_status

_OBJECT = msgspec.json.Decoder(dict[str, Any])
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
SDP = {"Content-Type": "application/sdp", "Accept": "application/sdp"}
"""Headers of an SDP offer and of what it asks for."""
_UNTIL_ENDED = httpx.Timeout(TIMEOUT_S, read=60.0)
"""For what lasts as long as a call; servers send something at least every 30 s."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event; `id` is the cursor to go on from, where it has one."""

    name: str
    data: Any
    id: str | None = None


class Broken(Failure):
    """An answer that had begun broke off; whoever knows a cursor may ask for the rest."""


class PlaneClient:
    """Requests to one control plane.

    Args:
        server: Its address.
        api_key: Sent as `X-API-Key`.
    """

    def __init__(self, server: str, *, api_key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        parts = _address(server)
        self.server = parts.geturl().rstrip("/")
        self._client = httpx.AsyncClient(
            base_url=self.server,
            headers={"X-API-Key": api_key} if api_key else None,
            timeout=timeout_s,
            trust_env=parts.hostname not in _LOOPBACK,  # no proxy reaches this machine's own servers
        )

    async def __aenter__(self) -> "PlaneClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def post(self, what: str, path: str, *, body: bytes, headers: Mapping[str, str] = _JSON) -> bytes:
        """POST `body`, JSON if `headers` say nothing else, and return the answer's.

        Args:
            what: Names the request in errors, such as `session start`.

        Raises:
            Failure: no connection, or a status that is no success.
        """
        try:
            answer = await self._client.post(path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(what, error) from error
        _check(what, answer.status_code, answer.text)
        return answer.content

    async def post_json(
        self, what: str, path: str, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """POST a JSON object and return the JSON that comes back.

        Raises:
            Failure: as `post`, or the answer is no JSON.
        """
        return decoded(
            what,
            await self.post(what, path, body=msgspec.json.encode(body), headers={**_JSON, **(headers or {})}),
        )

    async def get_json(self, what: str, path: str, *, holding: str | None = None) -> Any:
        """GET a JSON object, one with a member `holding`.

        Raises:
            Failure: no connection, a status that is no success, or another answer than a control plane's.
        """
        try:
            answer = await self._client.get(path)
        except httpx.HTTPError as error:
            raise self._unreachable(what, error) from error
        _check(what, answer.status_code, answer.text)
        found = decoded(what, answer.content)
        if holding is not None and holding not in found:
            raise _no_plane(what, f"without {holding!r}")
        return found

    async def download(
        self, what: str, path: str, opened: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> Mapping[str, str]:
        """GET a body of any size into the file that `opened` gives once there is one; returns the headers.

        Raises:
            Failure: no connection, it broke, or a status that is no success.
        """
        try:
            async with self._client.stream("GET", path) as answer:
                await _check_stream(what, answer)
                with opened() as file:
                    async for piece in answer.aiter_bytes():
                        file.write(piece)
                return answer.headers
        except httpx.HTTPError as error:
            raise self._unreachable(what, error) from error

    async def events(self, what: str, path: str) -> AsyncGenerator[ServerEvent]:
        """The server-sent events at `path`, until the server ends them.

        Raises:
            Broken: the connection broke after it had begun.
            Failure: no connection, or a status that is no success.
        """
        name, data, cursor = "message", "", None
        async with contextlib.aclosing(self.lines(what, path)) as lines:
            async for line in lines:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line and data:
                    yield ServerEvent(name, decoded(what, data.encode()), cursor)
                    name, data = "message", ""
                elif field == "event":
                    name = value
                elif field == "id":
                    cursor = value
                elif field == "data":
                    data += value

    async def lines(self, what: str, path: str) -> AsyncGenerator[str]:
        """The lines of the answer at `path`, as they come.

        Raises:
            Broken: the connection broke after it had begun.
            Failure: no connection, or a status that is no success.
        """
        has_begun = False
        try:
            async with self._client.stream("GET", path, timeout=_UNTIL_ENDED) as answer:
                await _check_stream(what, answer)
                has_begun = True
                async for line in answer.aiter_lines():
                    yield line
        except httpx.HTTPError as error:
            failure = self._unreachable(what, error)
            raise Broken(str(failure), failure.exit_code) if has_begun else failure from error

    def _unreachable(self, what: str, error: Exception) -> Failure:
        reason = str(error) or type(error).__name__
        hint = "is a server running? `af serve` starts one, --server names another"
        return Failure(f"{what} failed: no answer from {self.server} ({reason}); {hint}", ExitCode.SERVER)


def _address(server: str) -> SplitResult:
    try:
        parts = urlsplit(server if "//" in server else f"http://{server}")
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # half a bracket, or a port that is none
        pass
    raise Failure(f"{server} is no server address; it looks like {SERVER_DEFAULT}")


def _check(what: str, status: int, text: str) -> None:
    if not 200 <= status < 300:
        hint = "; give a key with --api-key or AGENTFIELD_API_KEY" if status == 401 else ""
        raise Failure(
            f"{what} failed with status {status}: {text.strip()}{hint}", exit_code_of_status(status)
        )


async def _check_stream(what: str, answer: httpx.Response) -> None:
    if not answer.is_success:
        _check(what, answer.status_code, (await answer.aread()).decode(errors="replace"))


def decoded(what: str, body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Failure: there is none.
    """
    try:
        return _OBJECT.decode(body)
    except msgspec.ValidationError:
        raise _no_plane(what, "which is no JSON object") from None
    except msgspec.MsgspecError as error:
        raise Failure(f"{what} failed: the server's answer is no JSON ({error})", ExitCode.SERVER) from error


def _no_plane(what: str, why: str) -> Failure:
    message = f"{what} failed: an answer {why}; is a control plane at this address?"
    return Failure(message, ExitCode.SERVER)
