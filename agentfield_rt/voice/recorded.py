"""What a session's recording hears: the caller on the way in, the agent on the way to the caller's ear."""

from collections.abc import Callable

from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core.records import Record
from agentfield_rt.errors import RecordingUnavailable
from agentfield_rt.frames import AudioFrame, PlaybackStarted, PlaybackStopped
from agentfield_rt.recording import Recording
from agentfield_rt.voice.player import Caller, ConfirmingCaller
from agentfield_rt.voice.spec import SessionServices, SessionSpec

Report = Callable[[PlaybackStarted | PlaybackStopped], None]


class Unrecorded:
    """A session that nobody records."""

    def begin(self, caller: Caller | None, report: Report) -> tuple[Caller | None, Report]:
        """The call begins; returns `caller` and `report` as the player is to know them."""
        return caller, report

    def spoke(self, frame: AudioFrame) -> None:
        """The caller was heard."""

    async def close(self) -> None:
        """The call is over, and its last window recorded."""


class Recorded(Unrecorded):
    """A session whose caller was told that it is recorded."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def begin(self, caller: Caller | None, report: Report) -> tuple[Caller | None, Report]:
        def reported(event: PlaybackStarted | PlaybackStopped) -> None:
            if isinstance(event, PlaybackStarted):
                self._recording.began(event.response_id)
            report(event)

        self._recording.begin(plays=caller is not None)
        if isinstance(caller, ConfirmingCaller):
            return _ConfirmingEar(caller, self._recording), reported
        return (None if caller is None else _Ear(caller, self._recording)), reported

    def spoke(self, frame: AudioFrame) -> None:
        self._recording.spoke(frame)

    async def close(self) -> None:
        await self._recording.close()


class _Ear:
    """A caller whose recording knows what it was handed, and what of that it dropped."""

    def __init__(self, caller: Caller, recording: Recording) -> None:
        self._caller = caller
        self._recording = recording

    async def play(self, pcm: bytes) -> None:
        self._recording.played(len(pcm))
        await self._caller.play(pcm)

    async def clear(self) -> None:
        self._recording.cleared()
        await self._caller.clear()


class _ConfirmingEar(_Ear):
    """One whose caller's side says what it has played."""

    def __init__(self, caller: ConfirmingCaller, recording: Recording) -> None:
        super().__init__(caller, recording)
        self._confirming = caller

    @property
    def heard_ms(self) -> int:
        return self._confirming.heard_ms

    async def confirmed(self) -> None:
        await self._confirming.confirmed()


def recording_for(
    spec: SessionSpec,
    services: SessionServices,
    controller: RealtimeSessionController,
    *,
    record: Callable[[Record], None],
) -> Unrecorded:
    """What records a session, if it is to be recorded.

    Raises:
        RecordingUnavailable: it is to be, and nothing here can.
    """
    if not spec.recorded:
        return Unrecorded()
    if services.recordings is None:
        raise RecordingUnavailable(
            f"session {spec.session_id} is to be recorded, and this host gave it no recordings"
        )
    recording = services.recordings.of(spec.session_id, record)
    controller.watch(recording)
    return Recorded(recording)
