"""A control plane as a command sees it, over HTTP. Every way it can fail is one line and an exit code."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import httpx
import msgspec

from agentfield_rt.cli.failures import ExitCode, Failure, exit_code_of_status

SERVER_DEFAULT = "http://localhost:8080"
TIMEOUT_S = 30.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event."""

    name: str
    data: Any


class PlaneClient:
    """Requests to one control plane.

    Args:
        server: Its address.
        api_key: Sent as `X-API-Key`.
    """

    def __init__(self, server: str, *, api_key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(server if "//" in server else f"http://{server}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failure(f"{server} is no server address; it looks like {SERVER_DEFAULT}")
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

    async def post(
        self, what: str, path: str, *, body: bytes, kind: str = "application/json", accept: str | None = None
    ) -> bytes:
        """POST `body` and return the answer's.

        Args:
            what: Names the request in errors, such as `session start`.

        Raises:
            Failure: no connection, or a status that is no success.
        """
        headers = {"Content-Type": kind, "Accept": accept or kind}
        try:
            answer = await self._client.post(path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(what, error) from error
        if not answer.is_success:
            status = answer.status_code
            message = f"{what} failed with status {status}: {answer.text.strip()}"
            raise Failure(message, exit_code_of_status(status))
        return answer.content

    async def post_json(self, what: str, path: str, body: Mapping[str, Any]) -> Any:
        """POST a JSON object and return the JSON that comes back.

        Raises:
            Failure: as `post`, or the answer is no JSON.
        """
        return decoded(what, await self.post(what, path, body=msgspec.json.encode(body)))

    async def get_json(self, what: str, path: str) -> Any:
        """GET JSON.

        Raises:
            Failure: no connection, a status that is no success, or no JSON.
        """
        try:
            answer = await self._client.get(path)
        except httpx.HTTPError as error:
            raise self._unreachable(what, error) from error
        if not answer.is_success:
            message = f"{what} failed with status {answer.status_code}: {answer.text.strip()}"
            raise Failure(message, exit_code_of_status(answer.status_code))
        return decoded(what, answer.content)

    async def download(
        self, what: str, path: str, opened: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> Mapping[str, str]:
        """GET a body of any size into the file that `opened` gives once there is one; returns the headers.

        Raises:
            Failure: no connection, it broke, or a status that is no success.
        """
        try:
            async with self._client.stream("GET", path) as answer:
                if not answer.is_success:
                    text = (await answer.aread()).decode(errors="replace").strip()
                    message = f"{what} failed with status {answer.status_code}: {text}"
                    raise Failure(message, exit_code_of_status(answer.status_code))
                with opened() as file:
                    async for piece in answer.aiter_bytes():
                        file.write(piece)
                return answer.headers
        except httpx.HTTPError as error:
            raise self._unreachable(what, error) from error

    async def events(self, path: str) -> AsyncIterator[ServerEvent]:
        """The server-sent events at `path`, until the server ends them.

        Raises:
            Failure: no connection, or it broke.
        """
        name, data = "message", ""
        try:
            async with self._client.stream("GET", path, timeout=None) as answer:
                if not answer.is_success:
                    raise Failure(f"events failed with status {answer.status_code}", ExitCode.SERVER)
                async for line in answer.aiter_lines():
                    field, _, value = line.partition(":")
                    if not line and data:
                        yield ServerEvent(name, decoded("events", data.encode()))
                        name, data = "message", ""
                    elif field == "event":
                        name = value.strip()
                    elif field == "data":
                        data += value
        except httpx.HTTPError as error:
            raise self._unreachable("events", error) from error

    def _unreachable(self, what: str, error: Exception) -> Failure:
        reason = str(error) or type(error).__name__
        hint = "is a server running? `af serve` starts one, --server names another"
        return Failure(f"{what} failed: no answer from {self.server} ({reason}); {hint}", ExitCode.SERVER)


def decoded(what: str, body: bytes) -> Any:
    """The JSON in a body.

    Raises:
        Failure: there is none.
    """
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError as error:
        raise Failure(f"{what} failed: the server's answer is no JSON ({error})", ExitCode.SERVER) from error
