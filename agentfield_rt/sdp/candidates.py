"""Which addresses of a caller we send anything to: a bad offer must not make this machine knock on doors."""

import ipaddress
import re

from agentfield_rt.sdp.lines import Section, number_of
from agentfield_rt.sdp.offer import BadOffer, Candidate

CANDIDATES_MAX = 40
_KINDS = ("host", "srflx", "prflx", "relay")
_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}")
_RTP = "1"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_candidates(section: Section, *, private: bool) -> tuple[Candidate, ...]:
    """The candidates that may be used; others are left out, which costs a caller who can reach us nothing.

    Names (`….local`) are left out as well: whoever resolves one asks the whole network for it.

    Args:
        private: Addresses of private networks may be used, beside those of the internet.

    Raises:
        BadOffer: one is not of the form a candidate has, or there are too many.
    """
    written = section.all("candidate")
    if len(written) > CANDIDATES_MAX:
        raise BadOffer(f"the SDP offer has more than {CANDIDATES_MAX} candidates")
    read = (_candidate(value, private=private) for value in written)
    return tuple(dict.fromkeys(candidate for candidate in read if candidate is not None))


def _candidate(value: str, *, private: bool) -> Candidate | None:
    words = value.split()
    if len(words) < 8 or words[6] != "typ":
        raise BadOffer("the SDP offer has a candidate that is cut short")
    foundation, component, transport, priority, address, port, _, kind = words[:8]
    if component != _RTP or transport.lower() != "udp" or kind not in _KINDS:
        return None
    rank, number = number_of(priority, 2**32 - 1), number_of(port, 2**16 - 1)
    if not _FOUNDATION.fullmatch(foundation) or not rank or not number:
        raise BadOffer("the SDP offer has a candidate with a number that cannot be")
    usable = _usable(address, private=private)
    return None if usable is None else Candidate(foundation, rank, str(usable), number, kind)


def _usable(text: str, *, private: bool) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and _hides_another(address):
        return None
    if (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    ):
        return None
    return address if private or address.is_global else None


def _hides_another(address: ipaddress.IPv6Address) -> bool:
    """Forms of IPv6 that stand for an IPv4 address or name an interface: no peer offers them as its own."""
    return any((address.ipv4_mapped, address.sixtofour, address.teredo, address.scope_id)) or (
        address in ipaddress.IPv6Network("64:ff9b::/96")
    )
