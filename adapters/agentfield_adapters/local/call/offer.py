"""What may be an SDP offer: the guard of the runtime, with its refusals in the provider's shape."""

from __future__ import annotations

from agentfield_adapters.local.protocol.validation import Refusal
from agentfield_rt.sdp import BadOffer, Offer, read_offer


def checked_offer(sdp: bytes) -> Offer:
    """Return what is taken of an offer; the caller is on this machine or in its networks.

    Raises:
        Refusal: It is no offer for an audio call.
    """
    try:
        return read_offer(sdp, private=True)
    except BadOffer as error:
        raise Refusal("invalid_offer", f"Refused: {error}.", "sdp") from None
