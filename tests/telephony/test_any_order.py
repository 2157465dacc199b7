"""Any messages in any order: a stream does what a model of twenty lines says, and raises nothing else."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_adapters.media.telephony import stream as stream_module
from agentfield_adapters.media.telephony.audio import InOrder
from agentfield_adapters.media.telephony.stream import MediaStream
from agentfield_rt.core.records import CallerFault
from agentfield_rt.telephony import (
    BadMessage,
    CallAudio,
    CallDigit,
    CallEvent,
    CallStarted,
    CallStopped,
    MarkReached,
)
from tests.telephony.test_streams import MakeVendor, begun, check_order, stream_of
from tests.telephony.vendors import VENDORS, TwilioVendor, Vendor

STEPS = st.sampled_from("connected start media outbound dtmf mark stop again foreign noise unknown".split())


class Model:
    """Which step may come when."""

    def __init__(self) -> None:
        self.state = "new"

    def expects(self, step: str) -> type[CallEvent] | CallerFault | None:
        """What a step comes to: an event, a fault, or nothing worth telling."""
        if step == "noise":
            return CallerFault.MALFORMED
        if step == "unknown":
            return CallerFault.UNKNOWN_EVENT
        wanted = {"connected": "new", "start": "connected"}.get(step, "started")
        if self.state != wanted:
            return CallerFault.OUT_OF_ORDER
        if step == "foreign":
            return CallerFault.FOREIGN_STREAM
        if step == "again":
            return CallerFault.REPEATED
        self.state = {"connected": "connected", "start": "started", "stop": "stopped"}.get(step, self.state)
        told: dict[str, type[CallEvent]] = {
            "start": CallStarted,
            "dtmf": CallDigit,
            "mark": MarkReached,
            "stop": CallStopped,
        }
        return told.get(step)


def written(step: str, vendor: Vendor, other: Vendor) -> str:
    """The message of a step."""
    match step:
        case "connected":
            return vendor.connected()
        case "start":
            return vendor.start({})
        case "media":
            return vendor.media()
        case "outbound":
            return vendor.media(track="outbound")
        case "dtmf":
            return vendor.dtmf("5")
        case "mark":
            return vendor.mark("m")
        case "stop":
            return vendor.stop()
        case "foreign":
            return other.dtmf("1")
        case "unknown":
            return '{"event": "hello"}'
        case _:
            return '{"event": '


def play(steps: Sequence[str], make_vendor: MakeVendor) -> None:
    """Send `steps` and compare each with the model."""
    vendor, other, model = make_vendor(), make_vendor(), Model()
    other.stream_id = "MZ0"
    stream = stream_of(vendor)
    pieces = heard = 0
    last_taken = ""
    for step in steps:
        if step == "again" and not last_taken:
            continue
        message = last_taken if step == "again" else written(step, vendor, other)
        expected = model.expects(step)
        try:
            events: Sequence[CallEvent] = stream.take(message)
        except BadMessage as bad:
            # One that comes twice may as well be out of its turn.
            possible = {expected, CallerFault.OUT_OF_ORDER} if step == "again" else {expected}
            assert bad.fault in possible, (step, bad.fault)
            continue
        assert not isinstance(expected, CallerFault), (step, events)
        if step not in ("connected", "stop"):
            last_taken = message
        pieces += step == "media"
        heard += sum(isinstance(event, CallAudio) for event in events)
        told = [type(event) for event in events if not isinstance(event, CallAudio)]
        assert told == ([] if expected is None else [expected]), step
    assert pieces - 1 <= heard <= pieces


@settings(max_examples=80, deadline=None)
@given(st.lists(STEPS, max_size=30), st.booleans())
def test_any_messages_in_any_order_come_to_what_the_model_says(steps: list[str], begins: bool) -> None:
    for make_vendor in VENDORS:
        play((["connected", "start"] if begins else []) + steps, make_vendor)


TEXTS = st.text(max_size=40) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
).map(json.dumps)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=8), st.data())
def test_no_text_breaks_a_stream(texts: list[str], data: st.DataObject) -> None:
    for make_vendor in VENDORS:
        vendor = make_vendor()
        stream = begun(vendor) if data.draw(st.booleans()) else stream_of(vendor)
        for text in texts:
            whole = [
                vendor.media(),
                vendor.dtmf("1"),
                vendor.mark("m"),
                vendor.stop(),
                vendor.start({"a": "b"}),
            ]
            mutated = mutate(data.draw(st.sampled_from(whole)), data)
            for message in (text, mutated):
                try:
                    stream.take(message)
                except BadMessage as bad:
                    assert message not in str(bad) or len(message) < 20


def mutate(message: str, data: st.DataObject) -> str:
    """A message with a piece of it replaced by something else."""
    at, length = data.draw(st.integers(0, len(message))), data.draw(st.integers(0, 20))
    return message[:at] + data.draw(st.text(max_size=6)) + message[at + length :]


def nothing(*_: object) -> None:
    """What was forgotten."""


def at_once(_: InOrder, chunk: int, piece: bytes) -> list[bytes]:
    return [piece]


@dataclass(frozen=True)
class Planted:
    """A slip of the hand, and what turns red."""

    where: object
    name: str
    wrong: object
    check: Callable[[], None]


@pytest.mark.parametrize(
    "planted",
    [
        Planted(
            MediaStream, "_require_its_place", nothing, lambda: play(["media", "connected"], TwilioVendor)
        ),
        Planted(
            stream_module,
            "SEQUENCES_MAX",
            0,
            lambda: play(["connected", "start", "dtmf", "again"], TwilioVendor),
        ),
        Planted(InOrder, "following", at_once, lambda: check_order([2, 1])),
    ],
    ids=["any order", "taken twice", "late pieces"],
)
def test_a_planted_bug_turns_the_tests_red(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted.where, planted.name, planted.wrong)
    with pytest.raises(AssertionError):
        planted.check()
