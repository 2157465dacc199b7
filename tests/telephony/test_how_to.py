"""The how-to is done as it stands: its session answers a call, its documents are what the server answers."""

import asyncio
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentfield_rt import Agent
from tests.plane.serving import Served, served
from tests.telephony.peer import PUBLIC_URL, ask, called
from tests.telephony.vendors import VENDORS, TwilioVendor

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "answer-a-phone.md").read_text()
APP, *_, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
DOCUMENTS = dict(zip(("twilio", "telnyx"), re.findall(r"```xml\n(.*?)```", PAGE, re.DOTALL), strict=True))
TARGET = "shop.phone"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    names: dict[str, Any] = {}
    exec(APP, names)
    app = names["app"]
    assert isinstance(app, Agent)
    keys = {name: value for vendor in VENDORS for name, value in vendor().settings().items()}
    data = tmp_path_factory.mktemp("data")
    with (
        pytest.MonkeyPatch.context() as patch,
        served(data, patch, agents=[app], public_url=PUBLIC_URL, **keys) as server,
    ):
        yield server


@pytest.mark.asyncio
async def test_the_session_of_the_how_to_takes_a_number_and_hangs_up(server: Served) -> None:
    vendor = TwilioVendor()
    async with called(server, vendor, target=TARGET) as phone:
        await phone.send(*(vendor.dtmf(digit) for digit in "471#"))
        assert await phone.closed == 1000
        assert phone.heard("media") > 5


def test_the_test_of_the_how_to_passes() -> None:
    names: dict[str, Any] = {}
    exec(APP + TEST, names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    test()


def parts(document: str) -> list[tuple[str, dict[str, str]]]:
    """Elements and attributes, without what is another in each call."""
    found = [(part.tag, dict(part.attrib)) for part in ET.fromstring(document.strip().encode()).iter()]
    for tag, attributes in found:
        if tag == "Parameter" and attributes["name"] == "ticket":
            attributes["value"] = "…"
    return found


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
@pytest.mark.asyncio
async def test_the_server_answers_what_the_how_to_shows(server: Served, vendor: Any) -> None:
    answer = await asyncio.to_thread(ask, server, vendor(), TARGET)
    assert parts(answer.text) == parts(DOCUMENTS[vendor.name])
    assert f"{PUBLIC_URL}/api/v1/telephony/{vendor.name}/{TARGET}" in PAGE
