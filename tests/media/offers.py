"""Offers as browsers and aiortc make them, and every way we think of to break one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

_FINGERPRINT = ":".join(f"{byte:02X}" for byte in range(0x20, 0x40))

_HEAD = """\
v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE {group}
a=extmap-allow-mixed
a=msid-semantic: WMS stream-1
"""
_CHROMIUM_AUDIO = f"""\
m=audio 51374 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 203.0.113.7
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 network-id 1
a=candidate:1467250027 2 udp 2122260222 192.168.0.196 56280 typ host generation 0 network-id 1
a=candidate:435653019 1 tcp 1845501695 192.168.0.196 9 typ host tcptype active generation 0
a=candidate:3289912957 1 udp 2122262783 3b1a2f1e-0d8c-4a6b-9c39-9d3f6c1b8a55.local 51372 typ host generation 0
a=candidate:842163049 1 udp 1677729535 93.184.216.34 51374 typ srflx raddr 192.168.0.196 rport 46243
a=candidate:2157334355 1 udp 33562623 2606:2800:220:1::9 51375 typ relay raddr 93.184.216.34 rport 51374
a=ice-ufrag:F7gI
a=ice-pwd:x9cml/YzichV2+XlhiMu8gCz
a=ice-options:trickle
a=fingerprint:sha-256 {_FINGERPRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:stream-1 0b65345c-fed2-404b-8a4f-b2a8f7eefd68
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:2570614671 cname:4TOk42mSjXCkVIa6
a=ssrc:2570614671 msid:stream-1 0b65345c-fed2-404b-8a4f-b2a8f7eefd68
"""
_CHROMIUM_CHANNEL = f"""\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:F7gI
a=ice-pwd:x9cml/YzichV2+XlhiMu8gCz
a=ice-options:trickle
a=fingerprint:sha-256 {_FINGERPRINT}
a=setup:actpass
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
"""
_FIREFOX = f"""\
v=0
o=mozilla...THIS_IS_SDPARTA-99.0 6142105126410103017 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {_FINGERPRINT}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 0.0.0.0
a=candidate:0 1 UDP 2122252543 10.1.2.3 47891 typ host
a=candidate:1 1 UDP 1686052607 198.51.101.4 47891 typ srflx raddr 10.1.2.3 rport 47891
a=sendrecv
a=end-of-candidates
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:a9f62b5ea3f8b1fd1a8c0a8f5b0c1d2e
a=ice-ufrag:8a1c2b3d
a=mid:0
a=msid:{{e8a2cf1b-1b2c-4d5e-8f90-123456789abc}} {{12345678-90ab-cdef-1234-567890abcdef}}
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:actpass
a=ssrc:3333333333 cname:{{aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee}}
"""


def _as_sent(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


CHROMIUM = _as_sent(_HEAD.format(group="0") + _CHROMIUM_AUDIO)
CHROMIUM_WITH_CHANNEL = _as_sent(_HEAD.format(group="0 1") + _CHROMIUM_AUDIO + _CHROMIUM_CHANNEL)
CHANNEL_FIRST = _as_sent(
    _HEAD.format(group="1 0") + _CHROMIUM_CHANNEL + _CHROMIUM_AUDIO.replace("generation 0", "")
)
FIREFOX = _as_sent(_FIREFOX)
OFFERS = {
    "chromium": CHROMIUM,
    "chromium with a channel": CHROMIUM_WITH_CHANNEL,
    "channel first": CHANNEL_FIRST,
    "firefox": FIREFOX,
}

Mutation = Callable[[random.Random, list[bytes]], list[bytes]]

_NUMBERS = (
    b"-1",
    b"0",
    b"1",
    b"65535",
    b"65536",
    b"4294967296",
    b"9" * 40,
    b"1e9",
    b"0x10",
    b"\xd9\xa1",
    b"",
)
_BYTES = bytes(range(256))
_PRINTABLE = bytes(range(32, 127))


def _leave_out(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(lines))
    return lines[:at] + lines[at + 1 :]


def _say_twice(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(lines))
    return lines[:at] + [lines[at]] * chance.choice((2, 3, 50)) + lines[at + 1 :]


def _swap(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines = list(lines)
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def _flip(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(lines))
    line = bytearray(lines[at] or b"x")
    line[chance.randrange(len(line))] = chance.choice(chance.choice((_BYTES, _PRINTABLE)))
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def _another_number(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(lines))
    words = lines[at].replace(b":", b" : ").split(b" ")
    words[chance.randrange(len(words))] = chance.choice(_NUMBERS)
    return [*lines[:at], b" ".join(words).replace(b" : ", b":"), *lines[at + 1 :]]


def _cut_short(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(lines))
    return [*lines[:at], lines[at][: chance.randrange(len(lines[at]) + 1)], *lines[at + 1 :]]


def _grow(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    at = chance.randrange(len(lines))
    return [*lines[:at], lines[at] + lines[at][-3:] * chance.choice((1, 10, 1_000)), *lines[at + 1 :]]


def _take_from_another(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    other = chance.choice(list(OFFERS.values())).splitlines()
    start = chance.randrange(len(other))
    at = chance.randrange(len(lines))
    return lines[:at] + other[start : start + chance.randrange(1, 12)] + lines[at:]


def _hide(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    """What a parser may take for the end of a line, and a check for none."""
    at = chance.randrange(len(lines))
    trick = chance.choice((b"\r", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\x00", b"\xe2\x80\xa8", b"\t"))
    smuggled = chance.choice((b"a=ice-lite", b"m=video 9 UDP/TLS/RTP/SAVPF 96", b"a=crypto:1 X inline:Y"))
    return [*lines[:at], lines[at] + trick + smuggled, *lines[at + 1 :]]


def _another_address(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    addresses = (
        b"127.0.0.1 169.254.169.254 0.0.0.0 ::1 ::ffff:127.0.0.1 fe80::1%eth0 224.0.0.1 x.local 1.2.3.4.5"
    )
    address = chance.choice(addresses.split())
    candidate = b"a=candidate:1 1 udp 2122260223 " + address + b" 80 typ host"
    at = chance.randrange(len(lines))
    return [*lines[:at], candidate, *lines[at:]]


MUTATIONS: tuple[Mutation, ...] = (
    _leave_out,
    _say_twice,
    _swap,
    _flip,
    _another_number,
    _cut_short,
    _grow,
    _take_from_another,
    _hide,
    _another_address,
)


def mutated_offers(seed: int, count: int) -> Iterator[bytes]:
    """`count` offers, each with one to six things wrong; the same for the same seed."""
    chance = random.Random(seed)
    corpus = list(OFFERS.values())
    for _ in range(count):
        lines = chance.choice(corpus).splitlines()
        for _ in range(chance.randrange(1, 7)):
            lines = chance.choice(MUTATIONS)(chance, lines) or [b""]
        yield b"\r\n".join(lines) + b"\r\n"
