"""A provider's key is in nothing that anybody is shown or that is kept, also if the provider says it back."""

import asyncio
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from agentfield_journal import open_content, open_journal
from agentfield_rt.config import Settings
from agentfield_rt.errors import ProviderError
from agentfield_rt.frames import ResponseEnded, SpeechFrame
from agentfield_rt.ports import ConnectRequest, ProviderSettings, SessionConfig
from agentfield_rt.registry import adapter_factory
from tests.canary.echoing_provider import MODES, echoing_provider
from tests.canary.talkative_server import PAIRS
from tests.cli.conftest import af_process
from tests.plane.serving import OFFER

ROOT = Path(__file__).parents[2]
KEYS = {
    "OPENAI_API_KEY": "sk-canary-openai-5f1d0c9a7e",
    "OPENROUTER_API_KEY": "sk-or-canary-router-93b2d41c",
    "AGENTFIELD_RT_APPROVER_KEY": "canary-approver-7a10c35e",
}
TELLTALES = [key.encode() for key in KEYS.values()]
CASES = [(provider, transport, mode) for provider, transport in PAIRS for mode in MODES]


@dataclass
class Produced:
    """Everything that somebody could have seen."""

    answers: dict[tuple[str, str, str], list[bytes]] = field(
        default_factory=dict[tuple[str, str, str], list[bytes]]
    )
    logs: bytes = b""
    data: Path = Path()
    commands: list[str] = field(default_factory=list[str])


def produce(folder: Path) -> Produced:
    """One server, a call of every case, and what came of it."""
    produced = Produced(data=folder / "data")
    with echoing_provider() as provider, (folder / "logs").open("wb+") as logs:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AGENTFIELD_")},
            **KEYS,
            "OPENAI_BASE_URL": f"{provider}/v1",
            "OPENROUTER_BASE_URL": f"{provider}/v1",
            "AGENTFIELD_RT_LOCAL_URL": provider,
            "PYTHONFAULTHANDLER": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.canary.talkative_server", str(produced.data)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=logs,
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip()
            with httpx.Client(base_url=url, timeout=20) as client:
                for case in CASES:
                    produced.answers[case] = list(call(client, *case))
                process.send_signal(signal.SIGUSR1)
                client.get("/health")  # the signal is handled before
            produced.commands = list(commands(url, produced.data))
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait(20)
        logs.seek(0)
        produced.logs = logs.read() + out
    return produced


def call(client: httpx.Client, provider: str, transport: str, mode: str) -> Generator[bytes]:
    """A call from its start to its end: all that its caller is told."""

    def told(answer: httpx.Response) -> bytes:
        return b"\n".join([str(answer.headers).encode(), answer.content])

    target = f"canary.{provider}_{transport}"
    started = client.post(f"/api/v1/session-targets/{target}/start", json={"model": mode})
    assert started.status_code == 201, started.text
    yield told(started)
    session_id, run_id = started.json()["session_id"], started.json()["run_id"]
    base = f"/api/v1/session-instances/{session_id}"
    if transport == "webrtc":
        yield told(client.post(f"{base}/realtime-offer", content=OFFER))
        yield told(client.post(f"{base}/input", json={"text": "hello"}))
    else:
        with connect(f"{str(client.base_url).replace('http', 'ws', 1)}{base}/media") as socket:
            yield str(socket.recv(20)).encode()
            yield told(client.post(f"{base}/input", json={"text": "hello"}))
            with suppress(ConnectionClosed):
                while True:
                    heard = socket.recv(20)
                    yield heard if isinstance(heard, bytes) else heard.encode()
            yield f"{socket.close_code} {socket.close_reason}".encode()
    if client.get(base).json()["phase"] in ("idle", "degraded"):
        yield told(client.post(f"{base}/close"))
    yield told(client.get(f"{base}/events"))
    paths = ("", "/timeline.svg", "/verify", "/recording")
    for path in (*(f"{base}{path}" for path in paths), f"/api/ui/v1/workflows/{run_id}/dag"):
        yield told(client.get(path))


def commands(url: str, data: Path) -> Generator[str]:
    """What people see who look at all this."""
    env: dict[str, Any] = {"AGENTFIELD_SERVER": url, "AGENTFIELD_RT_TRACEBACK": "1", **KEYS}
    for arguments in (
        ["session", "start", "canary.openai_websocket"],
        ["session", "start", "canary.openai_webrtc", "--provider", "nobody"],
        ["session", "approvals", "--server", "http://127.0.0.1:9"],
        ["journal", "list", "--data", str(data), "--json"],
        ["journal", "audit", "--data", str(data)],
        ["journal", "stats", "--data", str(data)],
    ):
        ran = af_process(*arguments, **env)
        yield ran.out + ran.err


def leaks_in(texts: list[bytes]) -> list[bytes]:
    """Those that hold a key."""
    return [text for text in texts if any(key in text for key in TELLTALES)]


async def contents(data: Path) -> list[tuple[str, bytes]]:
    """Everything that the journal refers to, by the kind of its record, unsealed."""
    found: list[tuple[str, bytes]] = []
    async with (
        open_journal(f"sqlite:///{data / 'journal.db'}", read_only=True) as journal,
        open_content(f"sqlite:///{data / 'content.db'}") as content,
    ):
        for run_id in await journal.run_ids():
            for envelope in await journal.read(run_id):
                found += [(envelope.kind, await content.get(ref)) for ref in envelope.content_refs]
    return found


def test_a_key_is_in_nothing_that_is_told_logged_dumped_or_kept_though_providers_echo_it(
    tmp_path: Path,
) -> None:
    produced = produce(tmp_path)
    told = {case: leaks for case, answers in produced.answers.items() if (leaks := leaks_in(answers))}
    assert told == {}
    assert all(len(answers) > 5 for answers in produced.answers.values())
    assert b"Thread 0x" in produced.logs, "nothing was dumped"
    assert b"SecretStr('**********')" in produced.logs
    assert leaks_in(produced.logs.splitlines()) == []
    assert b"Something to say" not in produced.logs, "what was said is logged"
    assert all(produced.commands)
    assert leaks_in([out.encode() for out in produced.commands]) == []
    files = {str(file): file.read_bytes() for file in sorted(produced.data.rglob("*")) if file.is_file()}
    assert len(files) >= 4
    assert [name for name, kept in files.items() if leaks_in([kept])] == []
    unsealed = asyncio.run(contents(produced.data))
    assert len(unsealed) > len(CASES)
    assert [kind for kind, kept in unsealed if leaks_in([kept])] == []
    quoted = [kept for _, kept in unsealed if b"your key is key-removed" in kept]
    assert quoted, "no provider said it back: then this proves nothing"


# An error, with what its frames have in hand.


async def fails(url: str, pair: tuple[str, str], mode: str) -> str | None:
    """The error of an adapter that speaks with the echoing provider, as a crash reporter shows it."""
    key = KEYS["OPENROUTER_API_KEY" if pair[0] == "openrouter" else "OPENAI_API_KEY"]
    settings = ProviderSettings(base_url=f"{url}/v1", api_key=key)
    adapter = adapter_factory(*pair)(settings)
    del key
    request = ConnectRequest(
        session_id="s1",
        config=SessionConfig(model=mode),
        offer_sdp=OFFER if pair[1] == "webrtc" else None,
    )
    try:
        async with asyncio.timeout(20):
            await adapter.connect(request)
            for number in range(
                2 if pair[1] == "audio_turns" else 1
            ):  # the second request hears of the first
                await adapter.send(SpeechFrame(f"f{number}", f"u{number}", text="something"))
                while not any(isinstance(each, ResponseEnded) for each in await adapter.receive(demand=1)):
                    pass
    except ProviderError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join([*shown.format(), repr(error), str(error), repr(vars(error))])
    else:
        return None
    finally:
        with suppress(ProviderError):
            await adapter.close("normal")  # type: ignore[arg-type]


@pytest.mark.asyncio
@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
async def test_an_error_with_all_its_locals_shows_no_key(pair: tuple[str, str]) -> None:
    with echoing_provider() as url:
        shown = [await fails(url, pair, mode) for mode in MODES]
    assert shown[0] is not None and "Traceback" in shown[0]
    assert not [each for each in shown for key in KEYS.values() if key in str(each)]


def test_settings_that_are_wrong_do_not_show_what_is_right_in_them() -> None:
    key = KEYS["OPENAI_API_KEY"]
    with pytest.raises(ValidationError) as caught:
        Settings(openai_api_key=SecretStr(key), port=70_000, approver_key=[key])  # type: ignore[arg-type]
    assert key not in str(caught.value)
