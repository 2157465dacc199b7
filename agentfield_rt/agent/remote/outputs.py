"""Output that a handler hands to the outside: recorded by the plane, carried by a sink that is here."""

from collections.abc import Callable

import msgspec

from agentfield_rt.agent.remote.requests import Requests, new_request_id
from agentfield_rt.channel.message import Message
from agentfield_rt.channel.shapes import Failure, Fault
from agentfield_rt.channel.to_agent import CarryParcel
from agentfield_rt.channel.to_plane import Deliver, ParcelCarried, Reconcile
from agentfield_rt.core.records import Decision
from agentfield_rt.deliveries import DEADLINE_S, DeliveryOutcome
from agentfield_rt.errors import Reason
from agentfield_rt.sinks import Destination, Output, Parcel, Sink, SinkError


class RemoteDeliveries:
    """The deliveries of one session.

    Args:
        insist: Sends a message to the plane, which relies on it.
    """

    def __init__(self, handler_id: str, requests: Requests, insist: Callable[[Message], None]) -> None:
        self._handler_id = handler_id
        self._requests = requests
        self._insist = insist
        self._sinks: dict[str, Sink] = {}

    async def deliver(
        self,
        output: Output,
        destination: Destination,
        sink: Sink | None,
        *,
        required: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> DeliveryOutcome:
        """See `Deliveries.deliver`."""
        if sink is not None:
            self._sinks[sink.name] = sink
        asked = Deliver(
            handler_id=self._handler_id,
            request_id=new_request_id(),
            source_id=output.source_id,
            body=output.body,
            destination_kind=destination.kind,
            destination_id=destination.id,
            sink=None if sink is None else sink.name,
            content_type=output.content_type,
            version=output.version,
            delivery=output.delivery,
            part=output.part,
            required=required,
            deadline_s=deadline_s,
        )
        return msgspec.convert(await self._requests.ask(asked), DeliveryOutcome)

    async def reconcile(self, op_id: str, decision: Decision) -> None:
        """See `Deliveries.reconcile`."""
        await self._requests.ask(
            Reconcile(
                handler_id=self._handler_id, request_id=new_request_id(), op_id=op_id, decision=decision
            )
        )

    async def carry(self, message: CarryParcel) -> None:
        """The plane has written down that this is sent now."""
        receipt, failure = None, None
        try:
            receipt = await self._sinks[message.sink].send(
                Parcel(
                    op_id=message.op_id,
                    dedupe_key=message.dedupe_key,
                    run_id=message.run_id,
                    destination=Destination(message.destination_kind, message.destination_id),
                    content_type=message.content_type,
                    body=message.body,
                )
            )
        except SinkError as error:
            failure = Failure(
                fault=Fault.INTERNAL, message=str(error), reason=error.reason, not_done=error.not_done
            )
        except Exception as error:  # says nothing about whether it arrived
            failure = Failure(
                fault=Fault.INTERNAL,
                message=type(error).__name__,
                reason=Reason.INTERNAL,
                not_done=isinstance(error, KeyError),
            )
        self._insist(
            ParcelCarried(
                handler_id=message.handler_id,
                request_id=message.request_id,
                receipt=receipt,
                failure=failure,
            )
        )
