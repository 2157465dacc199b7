"""A synthetic caller: speaks samples over WebRTC and records what comes back, both on one clock.

Knows no sessions and no HTTP: SDP goes out, SDP comes in.
"""

import asyncio
import fractions
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterBuffer
from aiortc.mediastreams import MediaStreamError

from agentfield_rt.cli.demo.recording import RATE_HZ, Samples
from agentfield_rt.cli.failures import ExitCode, Failure

FRAME_SAMPLES = RATE_HZ // 50
LEAD_MS = 400
"""Of a quiet room before the caller speaks: a listener has to know the room first."""

CONNECT_S_MAX = 15.0
_NOISE_LEVEL = 30.0  # -61 dB: recognisers do worse on digital silence than in a quiet room
_CLOCK_FRAMES = 51
# aiortc's name for a receiver's buffer, which otherwise holds back 80 ms of everything; a test holds it.
BUFFER_ATTRIBUTE = "_RTCRtpReceiver__jitter_buffer"


@dataclass(frozen=True, slots=True)
class _Frame:
    arrived_s: float
    media_samples: int
    samples: Samples


class _SpeakingTrack(MediaStreamTrack):
    """A quiet room, the recording, and the quiet room again for as long as the call lasts."""

    kind = "audio"

    def __init__(self, recording: Samples, on_spoken: Callable[[], None]) -> None:
        super().__init__()
        lead = np.zeros(RATE_HZ * LEAD_MS // 1000, dtype=np.int16)
        self.speech = np.concatenate([lead, recording])
        self.started_s: float | None = None
        self.has_spoken = False
        self._on_spoken = on_spoken
        self._frames_total = 0
        self._noise = np.random.default_rng(1)

    async def recv(self) -> Any:
        if self.readyState != "live":
            raise MediaStreamError
        if self.started_s is None:
            self.started_s = time.monotonic()
        due_s = self.started_s + self._frames_total * FRAME_SAMPLES / RATE_HZ
        await asyncio.sleep(due_s - time.monotonic())
        frame: Any = av.AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(self._next_samples().tobytes())
        frame.sample_rate = RATE_HZ
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        frame.pts = self._frames_total * FRAME_SAMPLES
        self._frames_total += 1
        return frame

    def _next_samples(self) -> Samples:
        start = self._frames_total * FRAME_SAMPLES
        samples = self.speech[start : start + FRAME_SAMPLES]
        if len(samples) < FRAME_SAMPLES:
            if not self.has_spoken:
                self.has_spoken = True
                self._on_spoken()
            samples = np.concatenate([samples, np.zeros(FRAME_SAMPLES - len(samples), dtype=np.int16)])
        noise = self._noise.standard_normal(FRAME_SAMPLES) * _NOISE_LEVEL
        return np.clip(samples + noise, -32768, 32767).astype(np.int16)


class CallerPeer:
    """One call of a synthetic caller.

    Args:
        recording: What it says: mono samples at `RATE_HZ`.
        on_spoken: Called once all of it has been said.
    """

    def __init__(self, recording: Samples, *, on_spoken: Callable[[], None]) -> None:
        # No servers: the default would ask a public one on the internet for our address.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._track = _SpeakingTrack(recording, on_spoken)
        self._frames: list[_Frame] = []
        self._settled = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    @property
    def has_spoken(self) -> bool:
        """Whether all of the recording has been said."""
        return self._track.has_spoken

    @property
    def said(self) -> Samples:
        """What the caller says, from the start of the call."""
        return self._track.speech

    @property
    def started_ns(self) -> int:
        """Wall time of the first sample of `said` and `heard`."""
        assert self._track.started_s is not None
        return time.time_ns() - int((time.monotonic() - self._track.started_s) * 1e9)

    async def offer(self) -> str:
        """The SDP offer."""
        connection = self._connection
        connection.createDataChannel("oai-events")
        connection.addTrack(self._track)
        (transceiver,) = connection.getTransceivers()
        setattr(transceiver.receiver, BUFFER_ATTRIBUTE, JitterBuffer(capacity=16))
        connection.on("track", self._track_opened)
        connection.on("connectionstatechange", self._state_changed)
        await connection.setLocalDescription(await connection.createOffer())
        return connection.localDescription.sdp

    async def accept(self, answer_sdp: str) -> None:
        """Take the SDP answer and return once sound flows.

        Raises:
            Failure: the answer cannot be used, or no connection comes about.
        """
        await self._connection.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        try:
            await asyncio.wait_for(self._settled.wait(), CONNECT_S_MAX)
        except TimeoutError:
            raise Failure(f"no WebRTC connection within {CONNECT_S_MAX:.0f} s", ExitCode.SERVER) from None
        if self._connection.connectionState != "connected":
            raise Failure("the WebRTC connection failed", ExitCode.SERVER)

    async def close(self) -> None:
        """Hang up; what was heard stays."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._connection.close()

    def heard(self) -> Samples:
        """What the caller heard, from the start of the call, each sample where it was heard."""
        if not self._frames or self._track.started_s is None:
            return np.zeros(0, dtype=np.int16)
        starts = _places(self._frames, self._track.started_s)
        heard = np.zeros(max(int(starts[-1]) + len(self._frames[-1].samples), 0), dtype=np.int16)
        for start, frame in zip(starts.tolist(), self._frames, strict=True):
            skipped = max(-start, 0)  # it came before the caller's own first sample
            piece = frame.samples[skipped : skipped + max(len(heard) - start - skipped, 0)]
            heard[start + skipped : start + skipped + len(piece)] = piece
        return heard

    def _state_changed(self) -> None:
        if self._connection.connectionState in ("connected", "failed", "closed"):
            self._settled.set()

    def _track_opened(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.create_task(self._listen(track), name="caller hears")

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = cast(Any, await track.recv())  # pyright: ignore[reportUnknownMemberType]
            except MediaStreamError:
                return  # the other side hung up
            samples = cast(Samples, frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0])
            self._frames.append(_Frame(time.monotonic(), int(frame.pts), samples.copy()))


def _places(frames: list[_Frame], started_s: float) -> Any:
    """Where each frame belongs on the caller's clock, in samples.

    Frames follow each other by their media time. How that runs against the clock is the median over a second
    round each frame: one that came late tears no hole, and a sender that stalled moves what follows.
    """
    arrived = np.array([(frame.arrived_s - started_s) * RATE_HZ for frame in frames])
    media = np.array([(frame.media_samples - frames[0].media_samples) & 0xFFFFFFFF for frame in frames])
    lag = np.pad(arrived - media, _CLOCK_FRAMES // 2, mode="edge")
    offsets = np.median(np.lib.stride_tricks.sliding_window_view(lag, _CLOCK_FRAMES), axis=1)
    return np.rint(media + offsets).astype(np.int64)
