"""An SDP text cut into its sections and their attributes, bounded before anything is made of it."""

import string
from itertools import pairwise

from agentfield_rt.sdp.offer import BadOffer

OFFER_BYTES_MAX = 64 * 1024
LINES_MAX = 600
LINE_CHARS_MAX = 2048


class Section:
    """One section: its first line, and its attributes by name in the order they were written."""

    def __init__(self, lines: list[str]) -> None:
        self.first = lines[0]
        self._attributes: dict[str, list[str]] = {}
        for line in lines:
            if line.startswith("a="):
                name, _, value = line[2:].partition(":")
                self._attributes.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._attributes

    def all(self, name: str) -> list[str]:
        """The values of an attribute."""
        return self._attributes.get(name, [])

    def one(self, name: str) -> str | None:
        """The value of an attribute that may be said once.

        Raises:
            BadOffer: it is said twice, differently.
        """
        values = self.all(name)
        if len(set(values)) > 1:
            raise BadOffer(f"the SDP offer has two different values of a={name} in one section")
        return values[0] if values else None


def read_sections(sdp: bytes) -> tuple[Section, list[Section]]:
    """What is said of the whole session, and the sections of media.

    Raises:
        BadOffer: it is no SDP, or larger than an offer of a WebRTC peer is.
    """
    lines = _lines(sdp)
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    session = lines[: starts[0]] if starts else lines
    return Section(session), [Section(lines[start:end]) for start, end in pairwise([*starts, len(lines)])]


def _lines(sdp: bytes) -> list[str]:
    if not sdp.strip():
        raise BadOffer("SDP offer body is required")
    if len(sdp) > OFFER_BYTES_MAX:
        raise BadOffer(f"the SDP offer is larger than {OFFER_BYTES_MAX} bytes")
    try:
        text = sdp.decode("ascii")
    except UnicodeDecodeError:
        raise BadOffer("the SDP offer is not plain ASCII text") from None
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    if lines[0] != "v=0":
        raise BadOffer("the SDP offer does not begin with v=0; send the raw SDP, not JSON")
    if len(lines) > LINES_MAX or any(len(line) > LINE_CHARS_MAX for line in lines):
        raise BadOffer(f"the SDP offer has more than {LINES_MAX} lines or a line over {LINE_CHARS_MAX}")
    if not all(_is_a_line(line) for line in lines):
        raise BadOffer("the SDP offer has a line that is not of the form x=value")
    return lines


def _is_a_line(line: str) -> bool:
    return len(line) >= 2 and line[0] in string.ascii_lowercase and line[1] == "=" and line.isprintable()


def number_of(text: str, at_most: int) -> int | None:
    """A decimal number from 0 to `at_most`; None for anything else."""
    if not text.isdigit() or len(text) > len(str(at_most)):
        return None
    return number if (number := int(text)) <= at_most else None
