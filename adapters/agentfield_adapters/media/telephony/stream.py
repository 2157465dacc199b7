"""One media stream of a phone call: which message may come when, audio put in order, at our rate and back."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from enum import Enum, auto

from agentfield_adapters.media.telephony.audio import (
    LAWS,
    TELEPHONE_RATE_HZ,
    FromTelephone,
    InOrder,
    ToTelephone,
)
from agentfield_adapters.media.telephony.wire import (
    Complaint,
    Connected,
    Dialect,
    Dialled,
    Incoming,
    Marked,
    Media,
    Started,
    Stopped,
)
from agentfield_rt.core.names import is_name
from agentfield_rt.core.records.caller import CallerFault
from agentfield_rt.idle import Recent
from agentfield_rt.telephony import (
    BadMessage,
    CallAudio,
    CallDigit,
    CallEvent,
    CallStarted,
    CallStopped,
    MarkReached,
)
from agentfield_rt.voice.digits import DIGITS

MESSAGE_CHARS_MAX = 32 * 1024
"""Of a whole message; a usual one has 300."""

SEQUENCES_MAX = 64
"""Numbers of messages remembered, so that none is taken twice."""

_PARAMETERS_MAX = 32
_PARAMETER_CHARS_MAX = 512


class _State(Enum):
    NEW = auto()
    CONNECTED = auto()
    STARTED = auto()
    STOPPED = auto()


class MediaStream:
    """One stream (`agentfield_rt.telephony.PhoneStream`).

    Args:
        dialect: How the vendor writes.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._state = _State.NEW
        self._stream_id = ""
        self._sequences = Recent(SEQUENCES_MAX)
        self._order = InOrder()
        self._hearing: FromTelephone | None = None
        self._speaking = ToTelephone()

    def take(self, message: str) -> Sequence[CallEvent]:
        """See `PhoneStream`."""
        if len(message) > MESSAGE_CHARS_MAX:
            raise BadMessage(f"a message has at most {MESSAGE_CHARS_MAX} characters", CallerFault.OVERSIZED)
        incoming = self._dialect.read(message)
        self._require_its_place(incoming)
        events = self._events(incoming)
        if incoming.sequence is not None:
            self._sequences.add(str(incoming.sequence))
        return events

    def audio(self, pcm: bytes) -> Sequence[str]:
        """See `PhoneStream`."""
        return [self._playing(codes) for codes in self._speaking.frames(pcm)]

    def rest(self) -> Sequence[str]:
        """See `PhoneStream`."""
        return [self._playing(codes) for codes in self._speaking.rest()]

    def mark(self, name: str) -> str:
        """See `PhoneStream`."""
        return self._dialect.mark(self._stream_id, name).decode()

    def clear(self) -> str:
        """See `PhoneStream`."""
        self._speaking = ToTelephone()
        return self._dialect.clear(self._stream_id).decode()

    def _playing(self, codes: bytes) -> str:
        return self._dialect.media(self._stream_id, base64.b64encode(codes).decode()).decode()

    def _require_its_place(self, incoming: Incoming) -> None:
        match incoming.event:
            case Connected():
                may_come = self._state is _State.NEW
            case Started():
                may_come = self._state is _State.CONNECTED
            case _:
                may_come = self._state is _State.STARTED
        if not may_come:
            raise BadMessage("a message came out of its turn", CallerFault.OUT_OF_ORDER)
        is_foreign = incoming.stream_id is not None and incoming.stream_id != self._stream_id
        if self._state is _State.STARTED and is_foreign:
            raise BadMessage("a message belongs to another stream", CallerFault.FOREIGN_STREAM)
        if incoming.sequence is not None and str(incoming.sequence) in self._sequences:
            raise BadMessage("a message came twice", CallerFault.REPEATED)

    def _events(self, incoming: Incoming) -> Sequence[CallEvent]:
        match incoming.event:
            case Media(chunk, payload, is_callers):
                return self._heard(chunk, payload) if is_callers else ()
            case Marked(name):
                return (MarkReached(name),)
            case Dialled(digit, at_s):
                if len(digit) != 1 or digit.upper() not in DIGITS:
                    raise BadMessage("a digit is not one that can be dialled", CallerFault.MALFORMED)
                return (CallDigit(digit.upper(), at_s),)
            case Connected():
                self._state = _State.CONNECTED
                return ()
            case Started() as started:
                return (self._start(started, incoming.stream_id),)
            case Stopped():
                self._state = _State.STOPPED
                return (CallStopped(),)
            case Complaint():
                raise BadMessage("the vendor refused a message of ours", CallerFault.REFUSED_OURS)

    def _heard(self, chunk: int, payload: bytes) -> Sequence[CallEvent]:
        assert self._hearing is not None
        hearing = self._hearing
        return [
            CallAudio(pcm) for codes in self._order.following(chunk, payload) for pcm in hearing.frames(codes)
        ]

    def _start(self, started: Started, stream_id: str | None) -> CallStarted:
        law = LAWS.get(started.encoding.lower())
        if law is None or started.rate_hz != TELEPHONE_RATE_HZ or started.channels != 1:
            raise BadMessage(
                "the stream's audio is none that is taken here: G.711 (PCMU or PCMA) at 8 kHz, mono",
                CallerFault.UNSUPPORTED_MEDIA,
            )
        if stream_id is None or not is_name(stream_id) or not is_name(started.call_id):
            raise BadMessage("the stream or its call has no name", CallerFault.MALFORMED)
        texts = [
            *started.parameters,
            *started.parameters.values(),
            started.caller or "",
            started.called or "",
        ]
        if len(started.parameters) > _PARAMETERS_MAX or any(len(t) > _PARAMETER_CHARS_MAX for t in texts):
            raise BadMessage("the stream has more parameters than are taken", CallerFault.OVERSIZED)
        self._state, self._stream_id = _State.STARTED, stream_id
        self._hearing = FromTelephone(law)
        return CallStarted(
            call_id=started.call_id,
            caller=started.caller,
            called=started.called,
            parameters=started.parameters,
        )
