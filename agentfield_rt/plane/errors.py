"""Refusals of the control plane, each with the HTTP status it stands for."""

from collections.abc import Mapping

from agentfield_rt.errors import RealtimeError


class PlaneError(RealtimeError):
    """Base of them; the message is for the caller.

    Attributes:
        details: What the answer says besides, for programs.
    """

    status = 500
    details: Mapping[str, str] = {}


class BadRequest(PlaneError):
    """The request cannot be meant."""

    status = 400


class PairRefused(BadRequest):
    """There is no such provider and transport; `details` has the words that were asked with."""

    def __init__(self, message: str, *, provider: str, transport: str) -> None:
        super().__init__(message)
        self.details = {"provider": provider, "transport": transport}


class Unauthorised(PlaneError):
    """Whoever asks has not shown who it is."""

    status = 401


class NotAllowed(PlaneError):
    """This session may not do that."""

    status = 403


class NotFound(PlaneError):
    """There is no such thing here."""

    status = 404


class SessionNotFound(NotFound):
    """No session of this id is any of the caller's business: whether there is one is not said."""

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"session '{session_id}' not found: none has this id, or it was started with another key; "
            "GET /api/v1/session-instances lists yours"
        )


class Conflict(PlaneError):
    """It was possible once, and is not any more."""

    status = 409


class Gone(PlaneError):
    """It was here, and was erased or has expired."""

    status = 410


class Busy(PlaneError):
    """Too much is going on; try again later.

    Args:
        retry_after_s: When that may help; whoever asks over HTTP is told so.
    """

    status = 503

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotOpened(PlaneError):
    """The application is served, and its lifespan is not: whoever embeds it mounted it as it is."""

    status = 503

    def __init__(self) -> None:
        super().__init__(
            "this control plane was never opened: an application that is mounted in another has no lifespan; "
            "mount it with agentfield_rt.plane.mounting.mount(host, path, plane)"
        )


class ProviderUnavailable(PlaneError):
    """The provider behind the session cannot be reached or refused."""

    status = 502


class DataDirectoryInUse(PlaneError):
    """Another server has the journal open."""

    status = 409


class DataDirectoryUnusable(PlaneError):
    """Nothing can be kept there."""

    status = 400


class Unprotected(PlaneError):
    """Everybody who reaches the server could use it, and nothing says that this is meant."""

    status = 400
