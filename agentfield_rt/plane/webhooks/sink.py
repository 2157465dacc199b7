"""Carries one webhook to its address. Says whether it may have arrived; knows no journal."""

from http import HTTPStatus

from agentfield_rt.errors import Reason
from agentfield_rt.plane.egress import Bounds, EgressRefused, HttpClient, NoAnswer, Unreachable
from agentfield_rt.plane.webhooks.registration import Registration
from agentfield_rt.sinks import Parcel, SinkError

SINK = "webhook"
DEADLINE_S = 10.0
_BOUNDS = Bounds(DEADLINE_S, answer_bytes_max=0)

_REASONS: dict[int, Reason] = {
    HTTPStatus.UNAUTHORIZED: Reason.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: Reason.UNAUTHORIZED,
    HTTPStatus.NOT_FOUND: Reason.NOT_FOUND,
    HTTPStatus.GONE: Reason.NOT_FOUND,
    HTTPStatus.TOO_MANY_REQUESTS: Reason.RATE_LIMITED,
}


class RegisteredSink:
    """Posts to where a registration says. What it answered besides its status is not kept."""

    name = SINK

    def __init__(self, client: HttpClient, registration: Registration) -> None:
        self._client = client
        self._registration = registration

    async def send(self, parcel: Parcel) -> str | None:
        """See `Sink.send`. The receipt is the status code."""
        headers = self._registration.signed(parcel.body, delivery_id=parcel.dedupe_key)
        try:
            answer = await self._client.request(
                "POST",
                self._registration.url,
                body=parcel.body,
                headers=headers,
                bounds=_BOUNDS,
            )
        except (EgressRefused, ValueError) as error:
            raise SinkError(
                "the address may not be called", reason=Reason.NOT_ALLOWED, not_done=True
            ) from error
        except Unreachable as error:
            raise SinkError("nobody was reached", reason=Reason.UNAVAILABLE, not_done=True) from error
        except NoAnswer as error:
            raise SinkError("there was no answer", reason=Reason.CONNECTION_LOST, not_done=False) from error
        if 200 <= answer.status < 300:
            return str(answer.status)
        refused = answer.status < 500
        reason = _REASONS.get(answer.status, Reason.INVALID_REQUEST) if refused else Reason.UNAVAILABLE
        raise SinkError(f"it answered {answer.status}", reason=reason, not_done=refused)
