"""A first look at an SDP offer before anything parses it: size, shape, and what a call cannot do without."""

from agentfield_rt.plane.errors import BadRequest

OFFER_BYTES_MAX = 64 * 1024
LINES_MAX = 600
LINE_CHARS_MAX = 2048


def check_offer(body: bytes) -> str:
    """The offer as text.

    Raises:
        BadRequest: it is no offer for an audio call; says what is missing.
    """
    if not body.strip():
        raise BadRequest("SDP offer body is required")
    if len(body) > OFFER_BYTES_MAX:
        raise BadRequest(f"the SDP offer is larger than {OFFER_BYTES_MAX} bytes")
    try:
        offer = body.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadRequest("the SDP offer is not plain ASCII text") from error
    lines = offer.replace("\r\n", "\n").strip("\n").split("\n")
    if lines[0] != "v=0":
        raise BadRequest("the SDP offer does not begin with v=0; send the raw SDP, not JSON")
    if len(lines) > LINES_MAX or any(len(line) > LINE_CHARS_MAX for line in lines):
        raise BadRequest(f"the SDP offer has more than {LINES_MAX} lines or a line over {LINE_CHARS_MAX}")
    if any(len(line) < 2 or line[1] != "=" or not line.isprintable() for line in lines):
        raise BadRequest("the SDP offer has a line that is not of the form x=value")
    if sum(line.startswith("m=audio ") for line in lines) != 1:
        raise BadRequest("the SDP offer must have exactly one audio section")
    for needed in ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"):
        if not any(line.startswith(needed) for line in lines):
            raise BadRequest(f"the SDP offer lacks {needed.rstrip(':')}; was it made by a WebRTC peer?")
    return offer
