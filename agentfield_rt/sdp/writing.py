"""Writes an offer as SDP (RFC 8866, RFC 9429): the same offer always in the same words."""

from agentfield_rt.sdp.offer import Candidate, Codec, DataChannel, Offer, Transport

_HEADER = ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0")
_ADDRESS_TO_COME = "c=IN IP4 0.0.0.0"
_HIDDEN_BASE = " raddr 0.0.0.0 rport 9"  # where a candidate was derived from is nobody's business


def write_offer(offer: Offer) -> str:
    """The offer as text. Reading it gives the same offer, so writing that gives the same text.

    More candidates may follow as far as it says: the other side then also answers those it was not told of.
    """
    sections = [(offer.mid, _audio(offer))]
    if offer.channel is not None:
        sections.append((offer.channel.mid, _channel(offer.channel)))
    if offer.channel_first:
        sections.reverse()
    lines = [*_HEADER, "a=group:BUNDLE " + " ".join(mid for mid, _ in sections), "a=msid-semantic:WMS *"]
    candidates = [_candidate(candidate) for candidate in offer.candidates]
    for mid, (first, *rest) in sections:
        lines += [first, _ADDRESS_TO_COME, f"a=mid:{mid}", *_transport(offer.transport), *rest, *candidates]
        candidates = []  # one transport carries all sections, and the first describes it
    return "\r\n".join(lines) + "\r\n"


def _transport(transport: Transport) -> list[str]:
    return [
        f"a=ice-ufrag:{transport.ufrag}",
        f"a=ice-pwd:{transport.password}",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {transport.fingerprint}",
        f"a=setup:{transport.setup}",
    ]


def _audio(offer: Offer) -> list[str]:
    payload_types = " ".join(str(codec.payload_type) for codec in offer.codecs)
    lines = [f"m=audio 9 UDP/TLS/RTP/SAVPF {payload_types}", f"a={offer.direction}", "a=rtcp-mux"]
    lines += [f"a=extmap:{number} {uri}" for number, uri in offer.extensions]
    if offer.stream is not None:
        lines.append(f"a=msid:{offer.stream}")
    for codec in offer.codecs:
        lines += _codec(codec)
    return lines + [f"a=ssrc:{ssrc} cname:{name}" for ssrc, name in offer.sources]


def _codec(codec: Codec) -> list[str]:
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    lines = [f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate_hz}{channels}"]
    if codec.reports_transport:
        lines.append(f"a=rtcp-fb:{codec.payload_type} transport-cc")
    if codec.parameters:
        values = ";".join(f"{name}={value}" if name else value for name, value in codec.parameters)
        lines.append(f"a=fmtp:{codec.payload_type} {values}")
    return lines


def _channel(channel: DataChannel) -> list[str]:
    return [
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        f"a=sctp-port:{channel.sctp_port}",
        f"a=max-message-size:{channel.message_bytes_max}",
    ]


def _candidate(candidate: Candidate) -> str:
    base = "" if candidate.kind == "host" else _HIDDEN_BASE
    return (
        f"a=candidate:{candidate.foundation} 1 udp {candidate.priority} {candidate.address} {candidate.port} "
        f"typ {candidate.kind}{base}"
    )
