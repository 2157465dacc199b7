"""The provider as a test instrument: who may steer it, what it refuses, what it keeps."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import APIStatusError, AsyncOpenAI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from agentfield_adapters.local.faults.compact import fault_of
from agentfield_adapters.local.faults.fault import FaultRefused
from agentfield_adapters.local.running import AdminRefused, LocalProvider, running_provider
from agentfield_adapters.local.scenario.reading import ScenarioRefused, scenario_of
from tests.local_provider.provider_process import RunningProvider

KEY = {"Authorization": "Bearer any"}


def session(base_url: str) -> connect:
    return connect(f"{base_url.replace('http', 'ws', 1)}/realtime?model=gpt-realtime", additional_headers=KEY)


async def taken(socket: ClientConnection, kind: str) -> None:
    """Receive up to the next event of a type."""
    async with asyncio.timeout(10):
        while json.loads(await socket.recv())["type"] != kind:
            pass


def status_of(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_nobody_steers_it_without_the_token(af_provider: LocalProvider) -> None:
    log = f"{af_provider.url}/admin/log"
    assert (status_of(log), status_of(log, Authorization="Bearer guess")) == (401, 401)


def test_without_being_asked_for_there_is_no_admin_endpoint(provider: RunningProvider) -> None:
    assert status_of(f"{provider.url}/admin/log", **KEY) == 404


def test_what_is_no_fault_is_refused_by_name_and_changes_nothing(af_provider: LocalProvider) -> None:
    af_provider.set_faults("delay=5,times=0")
    with pytest.raises(AdminRefused, match="'explode' is no fault; there are refuse, "):
        af_provider.set_faults("drop_at=1", "explode")
    assert af_provider.struck() == [0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("drop=7", "takes no value: write 'drop' or 'drop_at=N'"),
        ("drop,7", "write OPTION=VALUE"),
        ("drop_at=x", "'at' must be a number"),
        ("drop_at=0", ">= 1"),
        ("drop,colour=red", "unknown field `colour`"),
        ("drop,status=500", "`drop` has no option `status`"),
        ("status=200", ">= 400"),
        ("status=429,at=2", "strikes before there are events"),
        ("malformed=upside_down", "one of cut, utf8, types, binary"),
        ("swallow", "needs the `type`"),
        ("close=1006", "a close code that may be sent"),
        ("error=7", "a name for `error`"),
        ("drop,where=moon", "'moon'"),
    ],
)
def test_a_fault_that_cannot_be_says_why(text: str, says: str) -> None:
    with pytest.raises(FaultRefused) as refused:
        fault_of(text)
    assert says in str(refused.value)


@given(st.text())
def test_any_text_is_a_fault_or_refused(text: str) -> None:
    try:
        assert fault_of(text).knob in text
    except FaultRefused as refused:
        assert str(refused)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("turns:\n- say: hello\n- shout: hello\n", 3),
        ("seed: 1\nsenses: dull\n", 2),
        ("turns:\n- when: x\n", 2),
        ("about: x\nfaults:\n- drop_at=1\n- explode\n", 4),
        ("about: [\n", 2),
    ],
)
def test_a_mistake_in_a_scenario_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ScenarioRefused, match=rf"^desk\.yaml:{line}: "):
        scenario_of(text, name="desk.yaml")


@pytest.mark.asyncio
async def test_faults_that_are_set_strike_a_session_that_is_open(af_provider: LocalProvider) -> None:
    async with session(af_provider.base_url()) as socket:
        await taken(socket, "session.created")
        af_provider.set_faults("close=1013,type=input_audio_buffer.cleared")
        await socket.send('{"type": "input_audio_buffer.clear"}')
        with pytest.raises(ConnectionClosed) as closed:
            await taken(socket, "input_audio_buffer.cleared")
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
    assert af_provider.struck() == [1]


@pytest.mark.asyncio
async def test_a_client_may_ask_for_a_fault_in_its_own_session(af_provider: LocalProvider) -> None:
    async with session(af_provider.base_url()) as broken, session(af_provider.base_url()) as whole:
        fault = {"fault": "close=1013,type=input_audio_buffer.cleared"}
        tracing = {"workflow_name": "test", "metadata": fault}
        update = {"type": "session.update", "session": {"type": "realtime", "tracing": tracing}}
        await broken.send(json.dumps(update))
        await taken(broken, "session.updated")
        for socket in (broken, whole):
            await socket.send('{"type": "input_audio_buffer.clear"}')
        await taken(whole, "input_audio_buffer.cleared")
        with pytest.raises(ConnectionClosed):
            await taken(broken, "input_audio_buffer.cleared")


@pytest.mark.asyncio
async def test_one_address_has_its_own_faults_scenario_and_name(af_provider: LocalProvider) -> None:
    af_provider.add_scenario("rude", "senses: synthetic\npace: instant\nturns: [{say: No.}]\n")
    url = af_provider.base_url("status=429,retry_after_s=2,where=chat", scenario="rude", name="call-1")
    async with AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        with pytest.raises(APIStatusError) as refused:
            await said(client)
        assert await said(client) == "No."
    assert (refused.value.status_code, refused.value.response.headers["retry-after"]) == (429, "2")
    whats = [entry["what"] for entry in af_provider.log(setup="call-1")]
    assert whats[:3] == ["request", "opened", "received"]
    async with AsyncOpenAI(base_url=af_provider.base_url(), api_key="any", max_retries=0) as client:
        assert await said(client) == "You said: Hello."


async def said(client: AsyncOpenAI) -> str:
    """What the model answers to a greeting."""
    stream = await client.chat.completions.create(
        model="gpt-audio",
        messages=[{"role": "user", "content": "Hello"}],
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "pcm16"},
        stream=True,
    )
    words = ""
    async for chunk in stream:
        for choice in chunk.choices:
            if choice.delta.audio is not None:
                words += choice.delta.audio.transcript or ""
    return words


@pytest.mark.asyncio
async def test_the_log_is_a_file_too_and_holds_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with running_provider("--log", str(path)) as running:
        async with session(running.base_url()) as socket:
            await socket.send('{"type": "input_audio_buffer.append", "audio": "AAAAAAAA"}')
            await socket.send('{"type": "input_audio_buffer.clear"}')
            await taken(socket, "input_audio_buffer.cleared")
        async with AsyncOpenAI(base_url=running.base_url(), api_key="any", max_retries=0) as client:
            await said(client)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["n"] for entry in entries] == list(range(1, len(entries) + 1))
    (append,) = [entry for entry in entries if entry.get("type") == "input_audio_buffer.append"]
    assert append["event"]["audio"]["bytes"] == 6
    pieces = [entry["event"] for entry in entries if entry.get("type") == "chat.completion.chunk"]
    sounds = [piece["choices"][0]["delta"].get("audio", {}) for piece in pieces if piece["choices"]]
    data = [sound["data"] for sound in sounds if "data" in sound]
    assert data and all(sorted(sound) == ["bytes", "sha256"] for sound in data)
