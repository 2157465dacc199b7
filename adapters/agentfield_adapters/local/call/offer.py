"""What may be an SDP offer: checked before the WebRTC stack sees it, which trusts more than it should."""

from __future__ import annotations

from itertools import pairwise

from agentfield_adapters.local.protocol.validation import Refusal

SDP_BYTES_MAX = 64 * 1024
_NEEDED = ("a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:", "a=setup:")
_BUNDLE = "a=group:BUNDLE "
_MID = "a=mid:"


def checked_offer(sdp: bytes) -> str:
    """Return an offer's text.

    Raises:
        Refusal: It is too large, not SDP, or asks for more than one stream of audio and a data channel
            over one transport.
    """
    if len(sdp) > SDP_BYTES_MAX:
        raise _refusal(f"is larger than {SDP_BYTES_MAX} bytes")
    try:
        lines = sdp.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise _refusal("is not ASCII text") from None
    if not lines or lines[0] != "v=0":
        raise _refusal("does not start with 'v=0'")
    sections = _sections(lines)
    kinds = [section[0][2:].partition(" ")[0] for section in sections]
    if not kinds or len(set(kinds)) < len(kinds) or not {"audio", "application"}.issuperset(kinds):
        raise _refusal("must have one audio section, one data channel section, or both")
    for needed in _NEEDED:
        if not any(line.startswith(needed) for line in lines):
            raise _refusal(f"has no '{needed[:-1]}'")
    _check_bundle(lines, sections)
    return "\r\n".join(lines) + "\r\n"


def _sections(lines: list[str]) -> list[list[str]]:
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    return [lines[start:end] for start, end in pairwise([*starts, len(lines)])]


def _check_bundle(lines: list[str], sections: list[list[str]]) -> None:
    """All sections must share one transport, under names that are theirs."""
    mids = [[line.removeprefix(_MID) for line in part if line.startswith(_MID)] for part in sections]
    names = [mid[0] for mid in mids if len(mid) == 1 and mid[0]]
    if len(names) < len(sections) or len(set(names)) < len(names):
        raise _refusal("must name each section once with 'a=mid'")
    bundles = [line.removeprefix(_BUNDLE).split() for line in lines if line.startswith(_BUNDLE)]
    if bundles != [names] and (bundles or len(sections) > 1):
        raise _refusal("must bundle its sections with 'a=group:BUNDLE'")


def _refusal(why: str) -> Refusal:
    return Refusal("invalid_offer", f"The SDP offer {why}.", "sdp")
