"""Memory of a plane in another process, over HTTP (`MemoryPort`). Needs httpx."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any, cast

import httpx
import msgspec

from agentfield_rt.memory import (
    Change,
    Entry,
    Interest,
    Match,
    MemoryAccessError,
    MemoryFull,
    MemoryRefused,
    Scope,
    Section,
    TooSlow,
    Where,
    as_json,
)

DEADLINE_S = 15.0

_READY, _MISSED = "ready", "missed"
_STATUS: Mapping[int, type[MemoryAccessError]] = {
    400: MemoryRefused,
    413: MemoryRefused,
    422: MemoryRefused,
    507: MemoryFull,
}

_as_change = msgspec.json.Decoder(Change).decode
_as_changes = msgspec.json.Decoder(list[Change]).decode


@asynccontextmanager
async def reached_memory(server: str, *, api_key: str | None) -> AsyncGenerator["RemoteMemory"]:
    """The memory of the plane at `server`, while the block runs. Nothing is sent before it is used."""
    headers = {} if api_key is None else {"X-API-Key": api_key}
    async with httpx.AsyncClient(base_url=server, headers=headers) as client:
        yield RemoteMemory(client)


class RemoteMemory:
    """Asks a plane.

    Args:
        client: Its `base_url` is the plane's address, its headers hold the API key. It is not closed here.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def set(self, where: Where, key: str, data: bytes) -> Entry:
        body = b'{"key":%b,"data":%b%b}' % (as_json(key), data, _scope(where))
        return _entry(await self._ask("set", where, body))

    async def get(self, where: Where, key: str) -> Entry | None:
        answer = await self._ask("get", where, b'{"key":%b%b}' % (as_json(key), _scope(where)))
        return None if answer.status_code == HTTPStatus.NOT_FOUND else _entry(answer)

    async def delete(self, where: Where, key: str) -> bool:
        await self._ask("delete", where, b'{"key":%b%b}' % (as_json(key), _scope(where)))
        return True

    async def entries(self, where: Where) -> list[Entry]:
        scope = where.one().scope
        answer = await self._send("GET", "list", headers=_headers(where), params={"scope": scope.value})
        return [_as_entry(each) for each in cast(list[dict[str, Any]], answer.json())]

    async def set_vector(
        self, where: Where, key: str, *, embedding: Sequence[float], metadata: Mapping[str, Any]
    ) -> Section:
        body = {"key": key, "embedding": list(embedding), "metadata": dict(metadata), "scope": where.scope}
        answer: dict[str, str] = (await self._ask("vector/set", where, as_json(body))).json()
        return Section(Scope(answer["scope"]), answer["scope_id"])

    async def delete_vector(self, where: Where, key: str) -> bool:
        await self._ask("vector/delete", where, b'{"key":%b%b}' % (as_json(key), _scope(where)))
        return True

    async def search(
        self, where: Where, embedding: Sequence[float], *, top_k: int, filters: Mapping[str, Any]
    ) -> list[Match]:
        body = {
            "query_embedding": list(embedding),
            "top_k": top_k,
            "filters": dict(filters),
            "scope": where.scope,
        }
        return cast(list[Match], (await self._ask("vector/search", where, as_json(body))).json())

    async def changes(self, interest: Interest) -> AsyncIterator[Change]:
        timeout = httpx.Timeout(DEADLINE_S, read=None)
        try:
            async with self._client.stream(
                "GET", f"{_BASE}/events/sse", params=_params(interest), timeout=timeout
            ) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _refusal(answer)
                async for event, data in _events(answer):
                    if event == _MISSED:
                        raise TooSlow(int(data))
                    if event != _READY:
                        yield _as_change(data)
        except httpx.HTTPError as error:
            raise MemoryAccessError(f"the plane's memory was not reached: {type(error).__name__}") from error

    async def history(
        self, interest: Interest, *, since: str | None = None, limit: int = 100
    ) -> list[Change]:
        params = {**_params(interest), "limit": str(limit)} | ({"since": since} if since else {})
        return _as_changes((await self._send("GET", "events/history", params=params)).content)

    async def _ask(self, what: str, where: Where, body: bytes) -> httpx.Response:
        headers = {**_headers(where), "Content-Type": "application/json"}
        return await self._send("POST", what, headers=headers, content=body)

    async def _send(self, method: str, what: str, **request: Any) -> httpx.Response:
        try:
            answer = await self._client.request(method, f"{_BASE}/{what}", timeout=DEADLINE_S, **request)
        except httpx.HTTPError as error:
            raise MemoryAccessError(f"the plane's memory was not reached: {type(error).__name__}") from error
        if answer.is_error and not (what == "get" and answer.status_code == HTTPStatus.NOT_FOUND):
            raise _refusal(answer)
        return answer


_BASE = "/api/v1/memory"


def _headers(where: Where) -> dict[str, str]:
    ids = {
        "X-Workflow-ID": where.workflow_id,
        "X-Session-ID": where.session_id,
        "X-Actor-ID": where.actor_id,
        "X-Agent-Node-ID": where.agent_id,
    }
    return {name: value for name, value in ids.items() if value}


def _scope(where: Where) -> bytes:
    return b"" if where.scope is None else b',"scope":"%b"' % where.scope.encode()


def _params(interest: Interest) -> dict[str, str]:
    if any("," in pattern for pattern in interest.patterns):
        raise MemoryRefused("a pattern with a comma cannot be watched for in another process")
    wanted = {
        "patterns": ",".join(interest.patterns),
        "scope": interest.scope,
        "scope_id": interest.scope_id,
    }
    return {name: value for name, value in wanted.items() if value}


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """(event, data) of server-sent events whose data is one line each, as the plane's is."""
    given: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        if line:
            given[name] = value.removeprefix(" ")
        elif given:
            if "data" in given:
                yield given.get("event", "message"), given["data"]
            given = {}


def _entry(answer: httpx.Response) -> Entry:
    return _as_entry(answer.json())


def _as_entry(view: dict[str, Any]) -> Entry:
    return Entry(
        key=view["key"],
        section=Section(Scope(view["scope"]), view["scope_id"]),
        data=as_json(view["data"]),
        created_at_ns=_nanoseconds(view["created_at"]),
        updated_at_ns=_nanoseconds(view["updated_at"]),
    )


def _nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e9)


def _refusal(answer: httpx.Response) -> MemoryAccessError:
    """What the plane said: its texts never repeat what it was given."""
    kind = _STATUS.get(answer.status_code, MemoryAccessError)
    try:
        said = str(cast(dict[str, Any], json.loads(answer.content)).get("error"))
    except (ValueError, AttributeError):
        said = "no reason given"
    return kind(f"the plane's memory answered {answer.status_code}: {said}")
