"""Refusals of the control plane, each with the HTTP status it stands for."""

from agentfield_rt.errors import RealtimeError


class PlaneError(RealtimeError):
    """Base of them; the message is for the caller."""

    status = 500


class BadRequest(PlaneError):
    """The request cannot be meant."""

    status = 400


class Unauthorised(PlaneError):
    """Whoever asks has not shown who it is."""

    status = 401


class NotAllowed(PlaneError):
    """This session may not do that."""

    status = 403


class NotFound(PlaneError):
    """There is no such thing here."""

    status = 404


class Conflict(PlaneError):
    """It was possible once, and is not any more."""

    status = 409


class Gone(PlaneError):
    """It was here, and was erased or has expired."""

    status = 410


class Busy(PlaneError):
    """Too much is going on; try again later."""

    status = 503


class ProviderUnavailable(PlaneError):
    """The provider behind the session cannot be reached or refused."""

    status = 502


class DataDirectoryInUse(PlaneError):
    """Another server has the journal open."""

    status = 409


class DataDirectoryUnusable(PlaneError):
    """Nothing can be kept there."""

    status = 400
