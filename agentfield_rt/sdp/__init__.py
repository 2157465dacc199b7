"""SDP offers of callers: read by strict rules into a model of what we take, and written anew from that.

What a caller wrote never reaches a WebRTC stack or a provider: both trust it more than they should. Whatever
the model has no place for is gone. Knows no socket and no stack.
"""

from agentfield_rt.sdp.offer import BadOffer, Candidate, Codec, Offer
from agentfield_rt.sdp.reading import OFFER_BYTES_MAX, read_offer
from agentfield_rt.sdp.writing import write_offer

__all__ = ["OFFER_BYTES_MAX", "BadOffer", "Candidate", "Codec", "Offer", "read_offer", "write_offer"]
