"""How a request of the plane's own can fail; what matters is whether anybody may have got it."""

from agentfield_rt.errors import RealtimeError
from agentfield_rt.plane.errors import NotAllowed


class EgressRefused(NotAllowed):
    """The address is not one this server may call; whoever gave it is at fault."""


class MalformedAddress(EgressRefused):
    """It is no address of a server at all, whatever may be called."""

    status = 400


class EgressError(RealtimeError):
    """A request to an allowed address that brought no answer. The text names the server, no content."""


class Unreachable(EgressError):
    """Nobody got the request: sending it again cannot do anything twice."""


class NoAnswer(EgressError):
    """It was sent, in part at least, and what came of it is not known."""


class BadAnswer(NoAnswer):
    """There was an answer that cannot be taken: too large, or not HTTP. Asked again it would be the same."""
