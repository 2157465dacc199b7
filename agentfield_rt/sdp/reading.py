"""Reads a caller's offer: one stream of audio, perhaps a data channel beside it, all over one transport."""

import re

from agentfield_rt.sdp.candidates import read_candidates
from agentfield_rt.sdp.formats import read_formats
from agentfield_rt.sdp.lines import OFFER_BYTES_MAX, Section, number_of, read_sections
from agentfield_rt.sdp.offer import BadOffer, DataChannel, Direction, Offer, Transport

__all__ = ["OFFER_BYTES_MAX", "read_offer"]

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]"
_MID = re.compile(_TOKEN + r"{1,16}")  # what one RTP header extension of a byte can carry
_NAME = re.compile(r"[A-Za-z0-9+/=_{}.@-]{1,128}")
_STREAM = re.compile(r"[A-Za-z0-9+/=_{}.-]{1,64} [A-Za-z0-9+/=_{}.-]{1,64}")
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FINGERPRINT = re.compile(r"[Ss][Hh][Aa]-256 ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31})")
_SOURCE = re.compile(r"(\d{1,10}) cname:(.+)")
_EXTENSION = re.compile(r"(\d{1,2})(?:/\w+)? (\S+)(?: .*)?")
_AUDIO = re.compile(r"m=audio [1-9]\d{0,4} UDP/TLS/RTP/SAVPF \d[\d ]*")
_CHANNEL = re.compile(r"m=application \d{1,5} UDP/DTLS/SCTP webrtc-datachannel")
_EXTENSIONS_KNOWN = frozenset(
    (
        "urn:ietf:params:rtp-hdrext:sdes:mid",
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    )
)
_EXTENSION_MAX = 14
SOURCES_MAX = 4
MESSAGE_BYTES_MAX = 256 * 1024
SCTP_PORT = 5000


def read_offer(sdp: bytes, *, private: bool) -> Offer:
    """What we take of an offer.

    Args:
        private: The caller may be reached at addresses of private networks.

    Raises:
        BadOffer: it is no offer for an audio call.
    """
    session, sections = read_sections(sdp)
    kinds = [section.first[2:].partition(" ")[0] for section in sections]
    if kinds.count("audio") != 1:
        raise BadOffer("the SDP offer must have exactly one audio section")
    if kinds.count("application") > 1 or len(kinds) > kinds.count("audio") + kinds.count("application"):
        raise BadOffer("the SDP offer may have a data channel beside its audio section and nothing else")
    audio = sections[kinds.index("audio")]
    if not _AUDIO.fullmatch(audio.first):
        raise BadOffer("the SDP offer's audio section is not UDP/TLS/RTP/SAVPF with a port and formats")
    if "rtcp-mux" not in audio:
        raise BadOffer("the SDP offer lacks a=rtcp-mux: WebRTC peers always offer it")
    channel = _channel(sections[kinds.index("application")]) if "application" in kinds else None
    mid = _mid(audio)
    _require_one_transport(session, [_mid(section) for section in sections])
    return Offer(
        mid=mid,
        direction=_direction(session, audio),
        codecs=read_formats(audio),
        transport=_transport(session, sections[0]),
        extensions=_extensions(audio),
        candidates=read_candidates(sections[0], private=private),
        sources=_sources(audio),
        stream=next((value for value in audio.all("msid") if _STREAM.fullmatch(value)), None),
        channel=channel,
        channel_first=channel is not None and kinds[0] == "application",
    )


def _mid(section: Section) -> str:
    mid = section.one("mid")
    if mid is None or not _MID.fullmatch(mid):
        raise BadOffer("the SDP offer must name each section with a=mid, in at most 16 characters")
    return mid


def _require_one_transport(session: Section, mids: list[str]) -> None:
    """A group must hold every section, and each once: others would ask for a transport of their own."""
    groups = [value.split() for value in session.all("group") if value.startswith("BUNDLE")]
    grouped = groups == [["BUNDLE", *mids]]
    if len(set(mids)) < len(mids) or (not grouped and (groups or len(mids) > 1)):
        raise BadOffer("the SDP offer must bundle its sections: a=group:BUNDLE with each mid, in their order")


def _transport(session: Section, section: Section) -> Transport:
    """Of the first section: it carries the others. What it does not say itself is said for the session."""

    def said(name: str) -> str:
        value = section.one(name)
        value = session.one(name) if value is None else value
        if value is None:
            raise BadOffer(f"the SDP offer lacks a={name}; was it made by a WebRTC peer?")
        return value

    ufrag, password, setup = said("ice-ufrag"), said("ice-pwd"), said("setup")
    if not _UFRAG.fullmatch(ufrag) or not _PASSWORD.fullmatch(password):
        raise BadOffer("the SDP offer's a=ice-ufrag or a=ice-pwd has a length or characters it cannot have")
    if setup not in ("actpass", "active"):
        raise BadOffer("the SDP offer's a=setup must be actpass or active")
    return Transport(ufrag=ufrag, password=password, fingerprint=_fingerprint(session, section), setup=setup)


def _fingerprint(session: Section, section: Section) -> str:
    written = section.all("fingerprint") or session.all("fingerprint")
    if not written:
        raise BadOffer("the SDP offer lacks a=fingerprint; was it made by a WebRTC peer?")
    found = {form[1].upper() for value in written if (form := _FINGERPRINT.fullmatch(value))}
    if len(found) != 1:
        raise BadOffer("the SDP offer must have one a=fingerprint of sha-256, with its 32 bytes")
    return found.pop()


def _direction(session: Section, audio: Section) -> Direction:
    for section in (audio, session):
        said = [name for name in ("inactive", *Direction) if name in section]
        if len(said) > 1:
            raise BadOffer("the SDP offer's audio section goes in two directions at once")
        if said == ["inactive"]:
            raise BadOffer("the SDP offer's audio section is inactive; offer sendrecv")
        if said:
            return Direction(said[0])
    return Direction.BOTH


def _extensions(audio: Section) -> tuple[tuple[int, str], ...]:
    found: dict[int, str] = {}
    for value in audio.all("extmap"):
        form = _EXTENSION.fullmatch(value)
        if form is None or not 1 <= (number := int(form[1])) <= _EXTENSION_MAX:
            continue
        if form[2] in _EXTENSIONS_KNOWN and form[2] not in found.values():
            found.setdefault(number, form[2])
    return tuple(found.items())


def _sources(audio: Section) -> tuple[tuple[int, str], ...]:
    found: dict[int, str] = {}
    for value in audio.all("ssrc"):
        form = _SOURCE.fullmatch(value)
        if form and _NAME.fullmatch(form[2]) and (ssrc := number_of(form[1], 2**32 - 1)) is not None:
            found.setdefault(ssrc, form[2])
    return tuple(found.items())[:SOURCES_MAX]


def _channel(section: Section) -> DataChannel:
    if not _CHANNEL.fullmatch(section.first):
        raise BadOffer("the SDP offer's data channel is not UDP/DTLS/SCTP webrtc-datachannel")
    port = number_of(section.one("sctp-port") or str(SCTP_PORT), 2**16 - 1)
    size = number_of(section.one("max-message-size") or str(64 * 1024), 2**64 - 1)
    if not port or size is None:
        raise BadOffer("the SDP offer's a=sctp-port or a=max-message-size cannot be")
    limit = min(size, MESSAGE_BYTES_MAX) or MESSAGE_BYTES_MAX  # 0: as large as the other side can take
    return DataChannel(mid=_mid(section), sctp_port=port, message_bytes_max=limit)
