"""The receive buffer: a packet goes on as it arrives, in order and once, or waits for what may still come."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from agentfield_adapters.media.webrtc.arrival import (
    CALM_PACKETS,
    PATIENCE_PACKETS_MAX,
    ArrivalBuffer,
    AudioPacket,
)


def packet(sequence: int) -> AudioPacket:
    """A packet whose payload says which it is."""
    number = sequence & 0xFFFF
    return AudioPacket(111, number, (sequence * 960) & 0xFFFFFFFF, str(number).encode())


def handed_on(sequences: Iterable[int]) -> list[int]:
    """What a buffer hands on for packets in this order of arrival."""
    out: list[int] = []
    buffer = ArrivalBuffer(lambda packet: out.append(int(packet.payload)))
    for sequence in sequences:
        buffer.add(packet(sequence))
    return out


def test_packets_in_order_are_handed_on_as_they_arrive() -> None:
    assert handed_on([65534, 65535, 65536, 65537]) == [65534, 65535, 0, 1]


def test_a_late_packet_is_waited_for_and_a_lost_one_given_up() -> None:
    assert handed_on([1, 3, 2, 4]) == [1, 2, 3, 4]
    assert handed_on([1, 3]) == [1]
    assert handed_on([1, 3, 4]) == [1, 3, 4]
    assert handed_on([1, 3, 4, 2]) == [1, 3, 4]


def test_a_network_that_reorders_is_given_the_time_it_needs() -> None:
    once = [1, 3, 4, 5, 2, 6]
    again = [sequence + 10 * round for round in range(3) for sequence in (*once, 7, 8, 9, 10)]
    assert handed_on(again) == [1, *range(3, 31)]


def test_a_calm_network_is_waited_for_less() -> None:
    buffer = ArrivalBuffer(lambda packet: None)
    for sequence in (1, 3, 4, 5, 6, 7, 8, 2):
        buffer.add(packet(sequence))
    assert buffer.patience_packets == PATIENCE_PACKETS_MAX
    for sequence in range(9, 9 + CALM_PACKETS * PATIENCE_PACKETS_MAX):
        buffer.add(packet(sequence))
    assert buffer.patience_packets == 0


def test_a_new_stream_is_followed_at_once() -> None:
    assert handed_on([1, 2, 20_000, 20_001]) == [1, 2, 20_000, 20_001]


@given(st.lists(st.integers(0, 60), max_size=80))
def test_whatever_arrives_nothing_is_handed_on_twice_or_out_of_order(sequences: list[int]) -> None:
    out = handed_on([1000, *(1000 + sequence for sequence in sequences)])
    assert out == sorted(set(out))


@given(st.sets(st.integers(1, 200), max_size=40))
def test_without_reordering_at_most_one_packet_is_held_back(lost: set[int]) -> None:
    kept = [sequence for sequence in range(400) if sequence not in lost]
    assert len(kept) - len(handed_on(kept)) <= 1


@given(st.permutations(range(PATIENCE_PACKETS_MAX)), st.integers(2, 20))
def test_what_comes_late_again_and_again_is_soon_lost_no_more(order: list[int], rounds: int) -> None:
    size = len(order)
    arrivals = [0, *(1 + number * size + one for number in range(rounds) for one in order)]
    arrivals += range(arrivals[0] + 1 + rounds * size, arrivals[0] + 10 + rounds * size)
    missing = set(arrivals) - set(handed_on(arrivals))
    assert all(one <= size for one in missing), "it was late in the first round, and is expected from then on"
