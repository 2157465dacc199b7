"""Payloads of old versions are read as the newest; unknown ones are refused by name."""

import msgspec
import pytest

from agentfield_journal import Draft, UnknownVersion, open_journal
from agentfield_journal.upcasting import Raw, Upcasters


def make_upcasters() -> Upcasters:
    upcasters = Upcasters()

    @upcasters.register("input_sent", from_version=1)
    def name_the_unit(raw: Raw) -> Raw:  # pyright: ignore[reportUnusedFunction]  # registered
        return {"length_ms": raw["length"]}

    @upcasters.register("input_sent", from_version=2)
    def add_the_channel(raw: Raw) -> Raw:  # pyright: ignore[reportUnusedFunction]  # registered
        return raw | {"channel": "audio"}

    return upcasters


@pytest.mark.asyncio
async def test_each_version_is_read_as_the_newest() -> None:
    upcasters = make_upcasters()
    payloads: list[tuple[int, Raw]] = [
        (1, {"length": 20}),
        (2, {"length_ms": 20}),
        (3, {"length_ms": 20, "channel": "text"}),
        (4, {}),
    ]
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run-1")
        for version, raw in payloads:
            payload = msgspec.msgpack.encode(raw)
            draft = Draft(
                record_id=f"r{version}", kind="input_sent", at_ns=0, version=version, payload=payload
            )
            await writer.durable(writer.append([draft]))
        first, second, third, newer = await journal.read("run-1")
    assert upcasters.payload(first) == {"length_ms": 20, "channel": "audio"}
    assert upcasters.payload(second) == {"length_ms": 20, "channel": "audio"}
    assert upcasters.payload(third) == {"length_ms": 20, "channel": "text"}
    with pytest.raises(UnknownVersion, match=r"input_sent has version 4.*up to 3"):
        upcasters.payload(newer)


def test_steps_are_registered_once_and_in_order() -> None:
    upcasters = make_upcasters()
    for wrong in (1, 2, 5):
        with pytest.raises(ValueError, match="from version 3"):
            upcasters.register("input_sent", from_version=wrong)(lambda raw: raw)
