"""Phone calls that a vendor streams to us: what the runtime asks of code that speaks a vendor's protocol.

That code is found by name, as adapters are. It is pure: messages in, events out, no socket and no clock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentfield_rt.core.records.caller import CallerFault
from agentfield_rt.errors import RealtimeError, UnsupportedTransport
from agentfield_rt.extensions import Extensions, NotInstalled

TICKET = "ticket"
"""The stream parameter that says which call it belongs to, where the vendor does not sign the stream."""


class NotFromVendor(RealtimeError):
    """A request is not from whom it should be, or not of now; the text says which and repeats nothing."""


class BadMessage(RealtimeError):
    """A message is not what the vendor's protocol allows there; the stream is as it was before."""

    def __init__(self, message: str, fault: CallerFault) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request whose sender is to be checked.

    Attributes:
        url: As the vendor was told it, which is not as a proxy passes it on.
        headers: With names in lower case, or of a mapping that does not care.
        now_s: Seconds since the epoch.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    now_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted:
    """The stream of a call begins.

    Attributes:
        call_id: The vendor's name for the call.
        caller: Number or address of who calls, where the vendor says it in the stream.
        called: Number or address that was called, where the vendor says it in the stream.
        parameters: What `PhoneVendor.answer` was given, and whatever else the vendor was told to pass on.
    """

    call_id: str
    caller: str | None = field(default=None, repr=False)
    called: str | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class CallAudio:
    """The caller's audio: 20 ms of mono int16 PCM at 24 kHz, 960 bytes."""

    pcm: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallDigit:
    """The caller dialled a digit.

    Attributes:
        pressed_at_s: When, in seconds since the epoch, where the vendor says so because digits may overtake
            one another on their way.
    """

    digit: str = field(repr=False)
    pressed_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class MarkReached:
    """All audio before the mark has been played to the caller, or was cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class CallStopped:
    """The caller hung up, or the vendor ended the stream. Nothing follows."""


CallEvent = CallStarted | CallAudio | CallDigit | MarkReached | CallStopped


class PhoneStream(Protocol):
    """One stream: what its messages mean, and how to say something on it."""

    def take(self, message: str) -> Sequence[CallEvent]:
        """What a message of the vendor's says; most say one thing or none.

        Raises:
            BadMessage: it does not belong there.
        """
        ...

    def audio(self, pcm: bytes) -> Sequence[str]:
        """Messages that play mono int16 PCM at 24 kHz; what does not fill 20 ms waits for the next."""
        ...

    def rest(self) -> Sequence[str]:
        """Messages that play what waits, followed by silence."""
        ...

    def mark(self, name: str) -> str:
        """The message that asks for `MarkReached(name)`."""
        ...

    def clear(self) -> str:
        """The message that throws away what was not played yet; what waits here is forgotten."""
        ...


class PhoneVendor(Protocol):
    """A vendor of phone calls, who knows who we are."""

    @property
    def needs_ticket(self) -> bool:
        """Whether a stream must bring the ticket that its call's answer was given."""
        ...

    def webhook(self, request: SignedRequest) -> Mapping[str, str]:
        """The fields of a request that asks what to do with a call.

        Raises:
            NotFromVendor: it is not signed by the vendor, or not now.
        """
        ...

    def admit(self, request: SignedRequest) -> None:
        """Check who opens a stream, as far as that shows before its first message.

        Raises:
            NotFromVendor: it is not the vendor.
        """
        ...

    def answer(self, stream_url: str, parameters: Mapping[str, str]) -> str:
        """The document that connects a call to a stream in both directions."""
        ...

    def busy(self) -> str:
        """The document that refuses a call for now."""
        ...

    def stream(self) -> PhoneStream:
        """A stream that begins."""
        ...


VendorFactory = Callable[[str], PhoneVendor]
"""Makes a vendor from the secret or key that its requests are checked with."""

VENDORS = Extensions[VendorFactory]("agentfield_rt.telephony")


def phone_vendor(name: str, key: str) -> PhoneVendor:
    """The vendor an installed package knows under this name.

    Raises:
        UnsupportedTransport: none does; says which there are.
        ValueError: the key is none of this vendor's; it is not repeated.
    """
    try:
        factory = VENDORS.load(name)
    except NotInstalled as missing:
        raise UnsupportedTransport(
            f"Phone calls over {name} need a package that is not installed ({missing.lacks}); "
            "pip install 'agentfield-rt[telephony]'"
            if missing.lacks
            else f"No phone vendor of this name is installed. Installed: {', '.join(missing.known)}."
        ) from missing
    return factory(key)
