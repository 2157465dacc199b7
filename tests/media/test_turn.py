"""Calls through a TURN server, which is all that either side sees of the other: coturn on this machine."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aioice.ice import get_host_addresses
from aiortc import RTCConfiguration, RTCIceServer
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from pydantic import SecretStr, ValidationError

from agentfield_rt.config import Settings
from agentfield_rt.frames import AudioFrame
from agentfield_rt.plane.calls.ice import TURN_CREDENTIAL_S, for_browser, ice_settings
from tests.media.web_caller import vowel, web_caller
from tests.plane.serving import served

SECRET = "correct horse"


def free_port(address: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def turn_url(tmp_path: Path) -> Iterator[str]:
    """The address of a TURN server that shares `SECRET` with the plane."""
    program = shutil.which("turnserver")
    addresses = get_host_addresses(use_ipv4=True, use_ipv6=False)
    if program is None:
        pytest.skip("no TURN server is installed: apt-get install coturn")
    if not addresses:
        pytest.skip("this machine has no address but loopback, and TURN relays to none of those")
    port = free_port(addresses[0])
    flags = f"--listening-ip={addresses[0]} --relay-ip={addresses[0]} --listening-port={port} --realm=test"
    flags += " --use-auth-secret --no-tls --no-dtls --no-cli --log-file=stdout --simple-log"
    command = [
        program,
        *flags.split(),
        f"--static-auth-secret={SECRET}",
        f"--pidfile={tmp_path / 'turn.pid'}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        until_it_answers(addresses[0], port)
        yield f"turn:{addresses[0]}:{port}?transport=udp"
        server.terminate()


def until_it_answers(address: str, port: int) -> None:
    """Ask what a STUN server is for (RFC 8489, section 3) until there is an answer."""
    request = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.1)
        for _ in range(200):
            asking.sendto(request, (address, port))
            try:
                asking.recvfrom(1_500)
            except TimeoutError:
                continue
            return
    pytest.fail("the TURN server did not start")


@pytest.mark.asyncio
async def test_both_sides_meet_at_a_relay_and_nowhere_else(tmp_path: Path, turn_url: str) -> None:
    settings: dict[str, Any] = {
        "ice_urls": (turn_url,),
        "turn_secret": SecretStr(SECRET),
        "ice_relay_only": True,
        "ice_private_addresses": True,
    }
    with pytest.MonkeyPatch.context() as patch, served(tmp_path, patch, **settings) as plane:
        started = plane.post("/api/v1/session-targets/desk.phone/start").json()
        assert started["ice_transport_policy"] == "relay"
        (given,) = started["ice_servers"]
        configuration = RTCConfiguration(
            iceServers=[RTCIceServer(**given)], iceTransportPolicy=RTCIceTransportPolicy.RELAY
        )
        async with web_caller(configuration) as caller:
            offer = await caller.offer()

            def post() -> httpx.Response:
                return plane.client.post(started["media_offer_url"], content=offer)

            answer = await asyncio.to_thread(post)
            assert answer.status_code == 200, answer.text
            for sdp in (offer, answer.text):
                assert {line.split()[7] for line in sdp.splitlines() if "candidate:" in line} == {"relay"}
            await caller.accept(answer.text)
            await caller.say(vowel(20))
            async with asyncio.timeout(10):
                while sum(isinstance(frame, AudioFrame) for frame in plane.adapters[-1].sent) < 20:
                    await asyncio.to_thread(plane.get, "/health")


def test_a_credential_is_what_the_shared_secret_makes_of_a_user_and_an_end() -> None:
    settings = Settings(ice_urls=("stun:a", "turn:b"), turn_secret=SecretStr(SECRET))
    before = int(time.time())
    plain, turn = for_browser(ice_settings(settings, user="sess_1"))["ice_servers"]
    assert plain == {"urls": ("stun:a",)}
    end, _, user = turn["username"].partition(":")
    assert user == "sess_1"
    assert 0 <= int(end) - before - TURN_CREDENTIAL_S <= 5
    assert TURN_CREDENTIAL_S <= 3_600, "whoever copies one uses it for hours"
    expected = hmac.digest(SECRET.encode(), turn["username"].encode(), hashlib.sha1)
    assert turn["credential"] == base64.b64encode(expected).decode()


def test_without_settings_no_server_is_asked_for_anything() -> None:
    assert for_browser(ice_settings(Settings(), user="sess_1")) == {
        "ice_servers": [],
        "ice_transport_policy": "all",
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"ice_urls": ("http://a",)},
        {"ice_urls": ("stun:a?transport=udp",)},
        {"ice_urls": ("turn:a?transport=carrier-pigeon",), "turn_secret": SECRET},
        {"ice_urls": ("turn:a",)},
        {"ice_relay_only": True, "turn_secret": SECRET},
    ],
    ids=[
        "no scheme",
        "stun with a transport",
        "unknown transport",
        "turn without a secret",
        "relay without turn",
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start_without_the_secret(
    settings: dict[str, object],
) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(settings)
    assert SECRET not in str(refused.value)
