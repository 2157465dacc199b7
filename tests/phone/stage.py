"""A plane that is served, the provider of this machine, and telephones: what happens, read in the journal."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentfield_adapters.local.running import LocalPhone, LocalProvider
from agentfield_journal import open_journal
from agentfield_rt import Agent, RealtimeSession
from agentfield_rt.plane import providers
from agentfield_rt.registry import adapter_factory
from agentfield_rt.webhooks import WebhookSecret
from tests.plane.serving import Served, served

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
OTHER_SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
NUMBER = "+15550100"


Handler = Callable[[RealtimeSession], Awaitable[None]]


async def echo(session: RealtimeSession) -> None:
    """Says what it heard."""
    async for turn in session.turns():
        await session.say(f"You said {turn.text}.")


def shop(handler: Handler = echo, *, transport: str = "webrtc") -> Agent:
    """Answers the telephone."""
    app = Agent("shop")

    @app.reasoner()
    async def look_up(query: str = "") -> str:
        return "three euros"

    app.session("desk", provider="local", transport=transport, tools=["shop.look_up"])(handler)
    return app


@contextmanager
def plane(
    data: Path,
    patch: pytest.MonkeyPatch,
    provider: LocalProvider,
    *faults: str,
    agent: Agent | None = None,
    targets: dict[str, str] | None = None,
    **settings: Any,
) -> Generator[Served]:
    local_url = provider.base_url(*faults, name="call").removesuffix("/v1")
    with served(
        data,
        patch,
        agents=[agent or shop()],
        local_url=local_url,
        local_webhook_secret=SECRET,
        phone_targets={"*": "shop.desk"} if targets is None else targets,
        **settings,
    ) as server:
        patch.setattr(providers, "adapter_factory", adapter_factory)
        yield server


def dial(provider: LocalProvider, server: Served, *, secret: str = SECRET) -> LocalPhone:
    url = f"{server.url}/api/v1/webhooks/local"
    return provider.dial(NUMBER, caller="+15550199", webhook_url=url, webhook_secret=secret)


def records(server: Served, session_id: str, *, until: str) -> list[dict[str, Any]]:
    """What is journaled up to the first record of a kind."""
    found: list[dict[str, Any]] = []
    with server.events(session_id) as events:
        for event, _, data in events:
            if event == "record":
                found.append(json.loads(data))
                if found[-1]["kind"] == until:
                    break
    return found


def kinds(found: Sequence[dict[str, Any]]) -> list[str]:
    return [record["kind"] for record in found]


async def _session_ids(data: Path) -> list[str]:
    async with open_journal(f"sqlite:///{data / 'journal.db'}", read_only=True) as journal:
        first = [await journal.read(run_id, limit=1) for run_id in await journal.run_ids()]
    return [envelope.session_id for (envelope,) in first if envelope.session_id is not None]


def session_ids(server: Served) -> list[str]:
    """The sessions that are in the journal. The one that answers a call is, once its webhook is answered."""
    return asyncio.run(_session_ids(server.data))


def connected(server: Served) -> str:
    """The id of the only session, once it hears its caller: what was said before that, nobody heard."""
    (session_id,) = session_ids(server)
    records(server, session_id, until="realtime_connected")
    return session_id


def until(phone: LocalPhone, state: str) -> dict[str, Any]:
    """What became of a call, once it came to this."""
    while (told := phone.state())["state"] != state:
        assert told["state"] in ("ringing", "answered"), told
    return told


def incoming(call_id: str) -> bytes:
    return json.dumps({"type": "realtime.call.incoming", "data": {"call_id": call_id}}).encode()


def signed(body: bytes, *, secret: str = SECRET, webhook_id: str = "wh_1", ago_s: int = 0) -> dict[str, str]:
    return WebhookSecret(secret).headers(webhook_id, body, at_s=int(time.time()) - ago_s)
