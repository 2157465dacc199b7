"""Messages arrive once and in order, whatever is lost, and each bound is held."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_rt.channel.delivery import ChannelFull, Inbox, Outbox, ProtocolBroken
from agentfield_rt.channel.frame import MessageTooLarge, encode_message, frames_to_agent, frames_to_plane
from agentfield_rt.channel.message import MESSAGE_BYTES_MAX
from agentfield_rt.channel.to_plane import Say


@given(
    wires=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=12
    )
)
def test_over_wires_that_break_everything_arrives_once_and_in_order(
    wires: list[tuple[int, int, int]],
) -> None:
    """Each wire: so many are posted, so many frames arrive, so many of them are acknowledged."""
    outbox, inbox, taken, posted = Outbox(), Inbox(), list[bytes](), 0
    for post, arrive, acknowledged in [*wires, (0, 1_000, 1_000)]:
        outbox.acknowledge(inbox.received)  # the welcome says so
        for _ in range(post):
            posted += 1
            outbox.post(str(posted).encode())
        for place, (seq, message) in enumerate(list(outbox.after(inbox.received))):
            if place >= arrive:
                break
            if inbox.take(seq):
                taken.append(message)
            if place < acknowledged:
                outbox.acknowledge(inbox.received)
    assert taken == [str(number).encode() for number in range(1, posted + 1)]


def test_what_comes_twice_is_taken_once_and_a_gap_is_no_protocol() -> None:
    inbox = Inbox()
    assert [inbox.take(seq) for seq in (1, 1, 2, 1, 3)] == [True, False, True, False, True]
    with pytest.raises(ProtocolBroken, match="message 5 came after message 3"):
        inbox.take(5)


def test_an_end_that_receives_nothing_is_not_kept_for_for_ever() -> None:
    outbox = Outbox(messages_max=2, bytes_max=100)
    outbox.post(b"1")
    outbox.post(b"2")
    with pytest.raises(ChannelFull, match="2 messages"):
        outbox.post(b"3")
    outbox.acknowledge(1)
    assert outbox.post(b"3") == 3
    assert [seq for seq, _ in outbox.after(0)] == [2, 3]
    outbox.acknowledge(3)
    outbox.post(b"x" * 99)
    with pytest.raises(ChannelFull, match="99 bytes"):
        outbox.post(b"xx")


def test_nobody_has_received_more_than_was_sent() -> None:
    with pytest.raises(ProtocolBroken, match="received message 1; only 0 were sent"):
        Outbox().acknowledge(1)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        "{",
        '{"message": {"type": "SECRET"}}',
        '{"message": {"type": "say", "handler_id": 1}}',
        '{"message": {"type": "say"}}',
        '{"seq": "SECRET"}',
        '{"message": {"type": "outcome", "execution_id": "e", "status": "SECRET"}}',
        b"\xff\xfe",
        "[" * 100_000,
        "x" * (MESSAGE_BYTES_MAX + 1),
    ],
)
def test_what_is_no_frame_is_refused_without_saying_what_it_was(frame: str | bytes) -> None:
    for decode in (frames_to_plane, frames_to_agent):
        with pytest.raises(ProtocolBroken) as broken:
            decode(frame)
        assert "SECRET" not in str(broken.value)
        assert len(str(broken.value)) < 200


def test_a_member_that_is_not_known_is_passed_over() -> None:
    frame = frames_to_plane('{"seq": 1, "new": 1, "message": {"type": "leaving", "why": "because"}}')
    assert (frame.seq, type(frame.message).__name__) == (1, "Leaving")


def test_what_fits_into_no_frame_is_not_sent() -> None:
    with pytest.raises(MessageTooLarge, match="the channel carries"):
        encode_message(Say(handler_id="h", utterance_id="u", text="x" * MESSAGE_BYTES_MAX))
