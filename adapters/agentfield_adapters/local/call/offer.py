"""What may be an SDP offer: checked before the WebRTC stack sees it."""

from __future__ import annotations

from agentfield_adapters.local.protocol.validation import Refusal

SDP_BYTES_MAX = 64 * 1024
_NEEDED = ("a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:")


def checked_offer(sdp: bytes) -> str:
    """Return an offer's text.

    Raises:
        Refusal: It is too large, not SDP, or asks for more than one stream of audio and a data channel.
    """
    if len(sdp) > SDP_BYTES_MAX:
        raise Refusal("invalid_offer", f"The SDP offer is larger than {SDP_BYTES_MAX} bytes.", "sdp")
    try:
        text = sdp.decode()
    except UnicodeDecodeError:
        raise Refusal("invalid_offer", "The SDP offer is not UTF-8 text.", "sdp") from None
    lines = text.splitlines()
    if not lines or lines[0] != "v=0":
        raise Refusal("invalid_offer", "The SDP offer does not start with 'v=0'.", "sdp")
    kinds = [line[2:].partition(" ")[0] for line in lines if line.startswith("m=")]
    if not kinds or len(set(kinds)) < len(kinds) or not {"audio", "application"}.issuperset(kinds):
        raise Refusal("invalid_offer", "Offer one audio section, one data channel section, or both.", "sdp")
    for needed in _NEEDED:
        if needed not in text:
            raise Refusal("invalid_offer", f"The SDP offer has no '{needed[:-1]}'.", "sdp")
    return "\r\n".join(lines) + "\r\n"
