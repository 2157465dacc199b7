"""The guard in front of WebRTC: what it takes of an offer, what it refuses, what never gets through."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_rt.sdp import BadOffer, Offer, read_offer, write_offer
from tests.media.offer_campaign import run, settled
from tests.media.offers import CHROMIUM, CHROMIUM_WITH_CHANNEL, FIREFOX, OFFERS, mutated_offers

MUTATED = 2_000
WORD = r"[A-Za-z0-9!#$%&'*+.^_`{|}~/=@-]+"
CLEAN = re.compile(
    "|".join(
        (
            r"v=0|o=- 1 1 IN IP4 127\.0\.0\.1|s=-|t=0 0|c=IN IP4 0\.0\.0\.0",
            rf"a=group:BUNDLE {WORD}( {WORD})?|a=msid-semantic:WMS \*|a=mid:{WORD}",
            r"m=audio 9 UDP/TLS/RTP/SAVPF( \d{1,3})+|m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            r"a=ice-ufrag:[A-Za-z0-9+/]{4,256}|a=ice-pwd:[A-Za-z0-9+/]{22,256}|a=ice-options:trickle",
            r"a=fingerprint:sha-256 [0-9A-F]{2}(:[0-9A-F]{2}){31}|a=setup:(actpass|active)",
            r"a=(sendrecv|sendonly|recvonly|rtcp-mux)|a=sctp-port:\d{1,5}|a=max-message-size:\d{1,6}",
            rf"a=extmap:\d\d? (urn:ietf|http)[a-z0-9:/.-]+|a=msid:{WORD} {WORD}|a=ssrc:\d+ cname:{WORD}",
            r"a=rtpmap:\d+ (opus/48000/2|PCM[UA]/8000|telephone-event/(48000|8000))",
            r"a=rtcp-fb:\d+ transport-cc|a=fmtp:\d+ (0-15|([a-z-]+=\d+)(;[a-z-]+=\d+)*)",
            r"a=candidate:[A-Za-z0-9+/]{1,32} 1 udp \d{1,10} [0-9a-f.:]+ \d{1,5} typ "
            r"(host|(srflx|prflx|relay) raddr 0\.0\.0\.0 rport 9)",
        )
    )
)
"""Every line that may come out, as another hand would write the rules."""


def with_line(offer: bytes, line: str) -> bytes:
    return offer + line.encode() + b"\r\n"


def replaced(old: str, new: str, offer: bytes = CHROMIUM) -> bytes:
    assert old.encode() in offer
    return offer.replace(old.encode(), new.encode())


def addresses(offer: Offer) -> list[str]:
    return [candidate.address for candidate in offer.candidates]


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("private", [True, False], ids=["private", "global"])
def test_a_browser_s_offer_is_taken_and_written_in_our_words(offer: bytes, private: bool) -> None:
    taken = read_offer(offer, private=private)
    written = write_offer(taken)
    assert read_offer(written.encode(), private=private) == taken
    assert {codec.name for codec in taken.codecs} == {"opus", "PCMU", "PCMA", "telephone-event"}
    assert "mozilla" not in written
    assert "stream-1 0b65345c" in written or offer is FIREFOX
    assert all(CLEAN.fullmatch(line) for line in written.splitlines())


def test_only_addresses_that_may_be_a_caller_s_are_sent_to() -> None:
    assert addresses(read_offer(CHROMIUM, private=False)) == ["93.184.216.34", "2606:2800:220:1::9"]
    assert addresses(read_offer(CHROMIUM, private=True))[0] == "192.168.0.196"
    for address in (
        *("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.251", "240.0.0.1", "::1", "fe80::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "fe80::1%eth0", "::"),
        *("printer.local", "metadata.internal", "1.2.3", "0x7f.1"),
    ):
        offer = replaced("93.184.216.34 51374 typ", f"{address} 51374 typ")
        assert addresses(read_offer(offer, private=True)) == ["192.168.0.196", "2606:2800:220:1::9"], address
    for address in ("10.0.0.1", "172.16.0.1", "100.64.0.1", "fd00::1", "192.0.2.1"):
        offer = replaced("93.184.216.34 51374 typ", f"{address} 51374 typ")
        assert addresses(read_offer(offer, private=False)) == ["2606:2800:220:1::9"], address


def test_nobody_learns_the_address_behind_a_caller_s_router() -> None:
    assert "raddr 192.168.0.196" in CHROMIUM.decode()
    assert "192.168.0.196" not in write_offer(read_offer(CHROMIUM, private=False))


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        (b"", "SDP offer body is required"),
        (b'{"sdp": "v=0"}', "does not begin with v=0"),
        (CHROMIUM.replace(b"s=-", "s=\u00e9".encode()), "not plain ASCII"),
        (CHROMIUM + b"\r\n\r\nx", "not of the form"),
        (CHROMIUM + b"a=x\r\n" * 600, "more than 600 lines"),
        (CHROMIUM + b"a=" + b"x" * 2_050, "a line over 2048"),
        (CHROMIUM + b"x" * 65_536, "larger than 65536"),
        (CHROMIUM[: CHROMIUM.index(b"m=audio")], "exactly one audio section"),
        (CHROMIUM + CHROMIUM[CHROMIUM.index(b"m=audio") :], "exactly one audio section"),
        (with_line(CHROMIUM, "m=video 9 UDP/TLS/RTP/SAVPF 96"), "nothing else"),
        (replaced("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "not UDP/TLS/RTP/SAVPF"),
        (replaced("m=audio 51374", "m=audio 0"), "not UDP/TLS/RTP/SAVPF"),
        (replaced("a=rtcp-mux\r\n", ""), "lacks a=rtcp-mux"),
        (replaced("a=mid:0", "a=mid:" + "m" * 17), "at most 16 characters"),
        (replaced("BUNDLE 0 1", "BUNDLE 0", CHROMIUM_WITH_CHANNEL), "must bundle its sections"),
        (replaced("a=mid:1", "a=mid:0", CHROMIUM_WITH_CHANNEL), "must bundle its sections"),
        (replaced("a=ice-ufrag:F7gI\r\n", ""), "lacks a=ice-ufrag"),
        (replaced("a=ice-ufrag:F7gI", "a=ice-ufrag:F7"), "a length or characters"),
        (replaced("a=ice-pwd:x9cml/", "a=ice-pwd:"), "a length or characters"),
        (with_line(CHROMIUM, "a=ice-ufrag:Other"), "two different values of a=ice-ufrag"),
        (replaced("a=setup:actpass", "a=setup:passive"), "actpass or active"),
        (replaced("sha-256", "sha-1"), "one a=fingerprint of sha-256"),
        (replaced(":3F\r\n", "\r\n"), "with its 32 bytes"),
        (replaced("a=sendrecv", "a=inactive"), "is inactive"),
        (with_line(CHROMIUM, "a=recvonly"), "two directions"),
        (replaced("111 63 9 0 8 13 110 126", "9 13 110"), "no audio format we know"),
        (replaced("111 63 9 0 8 13 110 126", "111 111"), "lists a payload type twice"),
        (replaced("111 63 9 0 8 13 110 126", "111 999"), "does not list payload types"),
        (with_line(CHROMIUM, "a=rtpmap:111 PCMU/8000"), "maps a payload type twice"),
        (CHROMIUM + b"a=candidate:1 1 udp 1 1.1.1.1 9 typ host\r\n" * 40, "more than 40 candidates"),
        (with_line(CHROMIUM, "a=candidate:1 1 udp"), "cut short"),
        (with_line(CHROMIUM, "a=candidate:1 1 udp 1 1.1.1.1 70000 typ host"), "a number that cannot be"),
        (replaced("a=sctp-port:5000", "a=sctp-port:0", CHROMIUM_WITH_CHANNEL), "cannot be"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_offer_for_a_call_is_refused_with_what_is_wrong(offer: bytes, says: str) -> None:
    with pytest.raises(BadOffer, match=says):
        read_offer(offer, private=True)


@pytest.mark.parametrize(
    "line",
    [
        "a=ice-lite",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET",
        "a=identity:SECRET",
        "a=fmtp:111 evil=SECRET;stereo=SECRET",
        "a=rtcp-fb:* SECRET",
        "a=extmap:9 urn:SECRET",
        "a=ssrc:12 cname:SECRET SECRET",
        "a=msid:SECRET",
        "b=AS:999999999",
        "i=SECRET",
        "k=clear:SECRET",
    ],
)
def test_what_we_have_no_use_for_is_gone(line: str) -> None:
    written = write_offer(read_offer(with_line(CHROMIUM, line), private=True))
    assert "SECRET" not in written
    assert line.split(":")[0] not in ("a=ice-lite",) or "ice-lite" not in written


def test_a_refusal_does_not_repeat_what_was_written() -> None:
    for offer in mutated_offers(seed=7, count=300):
        marked = offer.replace(b"F7gI", b"SECRETSECRET").replace(b"stream-1", b"SECRET")
        try:
            read_offer(marked, private=True)
        except BadOffer as refusal:
            assert "SECRET" not in str(refusal)


def test_offers_broken_at_random_are_taken_clean_or_refused() -> None:
    taken = 0
    for offer in mutated_offers(seed=1, count=MUTATED):
        try:
            clean = write_offer(read_offer(offer, private=False))
        except BadOffer:
            continue
        taken += 1
        assert write_offer(read_offer(clean.encode(), private=False)) == clean
        assert all(CLEAN.fullmatch(line) for line in clean.splitlines()), clean
    assert MUTATED / 10 < taken < MUTATED * 9 / 10, "the mutations break nothing, or everything"


@pytest.mark.asyncio
async def test_those_that_pass_are_answered_or_refused_by_the_stack_and_nothing_of_them_stays() -> None:
    await run(mutated_offers(seed=2, count=200), answer_every=10)
    before = await settled()
    tally = await run(mutated_offers(seed=3, count=600), answer_every=10)
    assert tally.answered > 5
    assert await settled() == before


@given(st.binary(max_size=400))
def test_bytes_that_mean_nothing_are_refused(noise: bytes) -> None:
    with pytest.raises(BadOffer):
        read_offer(noise, private=True)
