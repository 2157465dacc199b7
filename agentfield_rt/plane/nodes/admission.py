"""Who is let in as a node: whom this server may call, and of whom an operator has heard."""

from dataclasses import dataclass

from agentfield_rt.core.records import NodeApproval
from agentfield_rt.plane.egress import EgressPolicy, EgressRefused, Unreachable, parse_address
from agentfield_rt.plane.errors import BadRequest, NotAllowed
from agentfield_rt.plane.nodes.registration import Registration
from agentfield_rt.plane.nodes.registrations import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How nodes are let in, and how they know us.

    Attributes:
        asks: An operator has to approve each node first.
        token: Shown to agents that want to know who calls.
    """

    policy: EgressPolicy
    asks: bool = False
    token: str | None = None

    async def require_address(self, registration: Registration) -> None:
        """Refuse a node that could not be called.

        Raises:
            BadRequest: its address has a query.
            MalformedAddress: it is no address.
            EgressRefused: this server may not call it.
        """
        try:
            address = parse_address(registration.base_url)
            if "?" in address.target:
                raise BadRequest("base_url: must have no query")
            await self.policy.resolve(address)
        except EgressRefused as error:
            raise type(error)(f"base_url: {error}") from None
        except Unreachable:
            return  # a name may come to lead somewhere; work waits until then

    def approval(self, registration: Registration, before: Standing | None) -> NodeApproval:
        """What holds of a node that registers, perhaps once more.

        An approval holds for what offers no more than was approved, at the same host.

        Raises:
            NotAllowed: an operator denied it.
        """
        if before is not None and before.approval is NodeApproval.DENIED:
            raise NotAllowed(f"an operator denied node '{registration.id}'")
        if not self.asks:
            return NodeApproval.NOT_ASKED
        if before is None or before.approval is not NodeApproval.APPROVED:
            return NodeApproval.PENDING
        was_seen = _offers(registration) <= _offers(before.registration)
        return NodeApproval.APPROVED if was_seen else NodeApproval.PENDING


def _offers(registration: Registration) -> set[str]:
    """What an operator sees of a node when they approve it."""
    return {
        f"host {parse_address(registration.base_url).host}",
        *(f"capability {name}" for name in registration.capabilities()),
        *(f"session {name}" for name in registration.sessions()),
        *(f"tag {tag}" for tag in registration.every_tag()),
    }
