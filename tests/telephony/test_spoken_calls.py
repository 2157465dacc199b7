"""A phone call that is spoken: over the telephone's narrow band to the provider of this machine, and back."""

import asyncio
import base64
from collections.abc import Iterator
from queue import SimpleQueue

import numpy as np
import pytest

from agentfield_adapters.local.mouth.caller import silence, spoken
from agentfield_adapters.media.g711 import MU_LAW
from agentfield_rt import Agent, RealtimeSession, Turn, registry
from agentfield_rt.plane import providers
from tests.plane.serving import Served, served
from tests.telephony.peer import PUBLIC_URL, called
from tests.telephony.vendors import VENDORS, TwilioVendor

RATE_HZ = 8_000
HEARD: SimpleQueue[Turn] = SimpleQueue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With the senses of the local provider, in a process of its own."""
    app = Agent("shop")

    @app.session(
        "phone",
        provider="local",
        transport="websocket",
        phrases=["where is order <number>", "cancel order <number>", "let me talk to a person"],
        rules={"number": "one | two | three | eight | twelve"},
    )
    async def answers(session: RealtimeSession) -> None:
        turn = await session.input()
        HEARD.put(turn)
        await session.say("It is stuck in customs.")
        await session.close()

    keys = {name: value for vendor in VENDORS for name, value in vendor().settings().items()}
    with (
        pytest.MonkeyPatch.context() as patch,
        served(
            tmp_path_factory.mktemp("data"),
            patch,
            agents=[app],
            public_url=PUBLIC_URL,
            local_url=None,
            **keys,
        ) as server,
    ):
        patch.setattr(providers, "adapter_factory", registry.adapter_factory)
        yield server


@pytest.mark.asyncio
async def test_a_caller_on_the_telephone_is_understood_and_hears_the_answer_to_its_end(
    server: Served,
) -> None:
    vendor = TwilioVendor()
    words = await spoken("where is order eight", rate_hz=RATE_HZ)
    quiet = silence(500, rate_hz=RATE_HZ)
    codes = MU_LAW.encoded(np.concatenate((quiet, words, quiet, quiet)))
    async with called(server, vendor, target="shop.phone") as phone:
        await phone.send(*(vendor.media(codes[at : at + 160]) for at in range(0, len(codes) - 159, 160)))
        assert await phone.closed == 1000
        payloads = [message["media"]["payload"] for message in phone.said if message["event"] == "media"]
        assert phone.plays_until_s <= asyncio.get_running_loop().time()
    turn = HEARD.get_nowait()
    assert (turn.text, turn.understood) == ("where is order eight", True)
    said = MU_LAW.decoded(b"".join(base64.b64decode(payload) for payload in payloads)).astype(float)
    assert len(said) > RATE_HZ
    assert np.sqrt((said**2).mean()) > 300
