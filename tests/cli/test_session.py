"""`af session` against a real server: outputs, messages and exit codes are AgentField's."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.conftest import Ran, af

TARGET = "voice-support.voice"


@pytest.fixture
def session(server: tuple[str, Path]) -> Any:
    """Runs `af session …` against the server."""

    def run(*arguments: str | Path, given: str = "") -> Ran:
        return af("session", *arguments, given=given, AGENTFIELD_SERVER=server[0])

    return run


def test_start_writes_what_the_server_answered(session: Any) -> None:
    ran = session("start", TARGET, "--provider", "local", "--transport", "webrtc")
    assert ran.code == 0
    started = ran.json
    assert started["target"] == TARGET
    assert started["tool_targets"]["lookup_order"] == "voice-support.lookup_order"
    pretty = session("start", TARGET, "-o", "pretty")
    assert pretty.out.startswith('{\n  "session_id"')
    assert msgspec.yaml.decode(session("start", TARGET, "-o", "yaml").out)["target"] == TARGET


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["nobody.voice"], 404, "agent not found"),
        (["voice-support.fax"], 404, "session not registered"),
        (["voice-support"], 400, "session target must be <node>.<session>"),
        (
            [TARGET, "--provider", "openai", "--transport", "audio-turns"],
            400,
            "Unsupported session transport",
        ),
        ([TARGET, "--provider", "acme"], 400, "Unknown session provider 'acme'"),
        ([TARGET, "--transport", "websocket"], 400, "is registered for provider=local transport=webrtc"),
    ],
)
def test_what_cannot_be_started_is_the_user_s_fault(
    session: Any, arguments: list[str], status: int, text: str
) -> None:
    ran = session("start", *arguments)
    assert ran.code == 2
    assert f"session start failed with status {status}: " in ran.complaint
    assert text in ran.complaint


def test_a_tool_on_the_list_runs_and_shows_up_in_the_session_s_workflow(session: Any) -> None:
    session_id = session("start", TARGET).json["session_id"]
    accepted = session("tool", session_id, "lookup_order", "--in", '{"number": 8}')
    assert accepted.code == 0
    assert accepted.json["status"] == "queued"
    assert accepted.json["target"] == "voice-support.lookup_order"
    found = session("workflows", session_id)
    assert found.code == 0
    assert found.json["ok"] is True
    (workflow,) = found.json["data"]["results"]
    assert workflow["session_id"] == session_id


def test_a_tool_s_input_comes_from_a_file_or_from_stdin(session: Any, tmp_path: Path) -> None:
    session_id = session("start", TARGET).json["session_id"]
    path = tmp_path / "order.yaml"
    path.write_text("number: 8\n")
    assert session("tool", session_id, "lookup_order", "--in", f"@{path}").code == 0
    assert session("tool", session_id, "lookup_order", given='{"number": 8}').code == 0
    assert session("tool", session_id, "lookup_order", "--in", "-", given='{"number": 8}').code == 0
    refused = session("tool", session_id, "lookup_order", "--in", "[8]")
    assert refused.code == 2
    assert "must be a JSON object" in refused.complaint
    bottomless = session("tool", session_id, "lookup_order", given='{"number": ' + "[" * 100_000)
    assert (bottomless.code, "nested too deeply" in bottomless.complaint) == (2, True)


def test_a_tool_that_is_not_on_the_list_is_refused(session: Any) -> None:
    session_id = session("start", TARGET).json["session_id"]
    ran = session("tool", session_id, "cancel_order", "--in", '{"number": 8}')
    assert ran.code == 3  # AgentField: 403 is the server's decision
    assert "session tool failed with status 403: " in ran.complaint


def test_an_offer_is_answered_with_raw_sdp_or_wrapped(session: Any, tmp_path: Path) -> None:
    from aiortc import RTCConfiguration, RTCPeerConnection

    async def make_offer() -> str:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTransceiver("audio")
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        await connection.close()
        return offer

    import asyncio

    offer = tmp_path / "offer.sdp"
    offer.write_text(asyncio.run(make_offer()))
    first, second = (session("start", TARGET).json["session_id"] for _ in range(2))
    raw = session("offer", first, "--sdp", f"@{offer}")
    assert raw.code == 0
    assert raw.out.startswith("v=0")
    assert (
        session("offer", second, "-o", "json", given=offer.read_text()).json["answer_sdp"].startswith("v=0")
    )
    again = session("offer", first, "--sdp", f"@{offer}")
    assert again.code == 2
    assert "session offer failed with status 409: " in again.complaint


def test_an_offer_that_is_missing_is_asked_for(session: Any, tmp_path: Path) -> None:
    missing = session("offer", "sess_1")
    assert missing.code == 2
    assert missing.complaint.endswith("SDP offer required; pass --sdp, --sdp @path, or pipe SDP on stdin")
    empty = tmp_path / "empty.sdp"
    empty.touch()
    assert session("offer", "sess_1", "--sdp", f"@{empty}").complaint.endswith(f"SDP file {empty} is empty")


def test_an_unknown_session_is_the_user_s_fault(session: Any) -> None:
    ran = session("offer", "sess_nobody", "--sdp", "v=0")
    assert ran.code == 2
    assert "session offer failed with status 404: " in ran.complaint


def test_no_server_is_one_line_and_the_server_s_fault(taken_port: int) -> None:
    closed = f"http://127.0.0.1:{taken_port}"
    ran = af("session", "start", TARGET, "--server", closed.replace(str(taken_port), "1"))
    assert ran.code == 3
    assert "no answer from http://127.0.0.1:1" in ran.complaint
    assert "af serve" in ran.complaint


@pytest.mark.parametrize("address", ["ftp://here", "http://[", "http://here:port", "http://here:99999"])
def test_an_address_that_is_none_is_the_user_s_fault(address: str) -> None:
    ran = af("session", "start", TARGET, "--server", address)
    assert ran.code == 2
    assert "no server address" in ran.complaint
