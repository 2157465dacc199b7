"""The payload formats of an offer's audio section that we know: Opus, G.711 and digits (RFC 4733)."""

import re

from agentfield_rt.sdp.lines import Section, number_of
from agentfield_rt.sdp.offer import BadOffer, Codec

FORMATS_MAX = 64  # in the list of an offer; a browser has a dozen
_PAYLOAD_TYPE_MAX = 127
_USUAL_NAMES = {"opus": "opus", "pcmu": "PCMU", "pcma": "PCMA", "telephone-event": "telephone-event"}
_KNOWN = {
    ("opus", 48_000, 2),
    ("PCMU", 8_000, 1),
    ("PCMA", 8_000, 1),
    ("telephone-event", 8_000, 1),
    ("telephone-event", 48_000, 1),
}
_STATIC = {0: Codec(0, "PCMU", 8_000), 8: Codec(8, "PCMA", 8_000)}
_OPUS_PARAMETERS = frozenset(
    (
        *("cbr", "maxaveragebitrate", "maxplaybackrate", "maxptime", "minptime", "ptime"),
        *("sprop-stereo", "stereo", "usedtx", "useinbandfec"),
    )
)
_DIGITS = (("", "0-15"),)
_RTPMAP = re.compile(r"(\d{1,3}) ([A-Za-z0-9-]{1,32})/(\d{1,6})(?:/(\d))?")


def read_formats(section: Section) -> tuple[Codec, ...]:
    """What we know of the formats the section lists, in its order of preference.

    Raises:
        BadOffer: the list is none, or there is no audio in it that we know.
    """
    listed = [number_of(word, _PAYLOAD_TYPE_MAX) for word in section.first.split()[3:]]
    payload_types = [number for number in listed if number is not None]
    if len(payload_types) < len(listed) or len(listed) > FORMATS_MAX:
        raise BadOffer("the SDP offer's audio section does not list payload types")
    if len(set(payload_types)) < len(payload_types):
        raise BadOffer("the SDP offer's audio section lists a payload type twice")
    mapped = _STATIC | _mapped(section)
    codecs = tuple(_with_parameters(mapped[number], section) for number in payload_types if number in mapped)
    if not any(codec.name != "telephone-event" for codec in codecs):
        raise BadOffer("the SDP offer has no audio format we know; offer Opus (opus/48000/2)")
    return codecs


def _mapped(section: Section) -> dict[int, Codec]:
    codecs: dict[int, Codec] = {}
    for value in section.all("rtpmap"):
        if (form := _RTPMAP.fullmatch(value)) is None:
            continue
        name = _USUAL_NAMES.get(form[2].lower(), "")
        number, rate_hz, channels = int(form[1]), int(form[3]), int(form[4] or 1)
        if number in codecs:
            raise BadOffer("the SDP offer maps a payload type twice")
        if (name, rate_hz, channels) in _KNOWN:
            codecs[number] = Codec(number, name, rate_hz, channels)
    return codecs


def _with_parameters(codec: Codec, section: Section) -> Codec:
    number = str(codec.payload_type)
    reports = codec.name == "opus" and f"{number} transport-cc" in section.all("rtcp-fb")
    parameters: tuple[tuple[str, str], ...] = ()
    if codec.name == "telephone-event":
        parameters = _DIGITS
    elif codec.name == "opus":
        parameters = _opus_parameters(section, number)
    return Codec(
        codec.payload_type,
        codec.name,
        codec.clock_rate_hz,
        codec.channels,
        parameters,
        reports_transport=reports,
    )


def _opus_parameters(section: Section, number: str) -> tuple[tuple[str, str], ...]:
    known: dict[str, str] = {}
    for value in section.all("fmtp"):
        which, _, text = value.partition(" ")
        if which != number:
            continue
        for parameter in text.split(";"):
            name, _, setting = parameter.strip().partition("=")
            if name in _OPUS_PARAMETERS and number_of(setting, 999_999) is not None:
                known[name] = str(int(setting))
    return tuple(sorted(known.items()))
