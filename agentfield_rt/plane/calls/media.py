"""Audio of a caller over a websocket: 16 kHz up, 24 kHz down. Closing it ends the session."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

import numpy as np
import soxr
from fastapi import WebSocket, WebSocketDisconnect

from agentfield_journal import JournalError
from agentfield_rt.errors import IllegalCommand, ProviderError, RealtimeError
from agentfield_rt.frames import FRAME_BYTES, SAMPLE_RATE_HZ
from agentfield_rt.plane.access import caller_of
from agentfield_rt.plane.control_plane import ControlPlane
from agentfield_rt.plane.http.guards import is_same_origin
from agentfield_rt.plane.telephony.dialled import Tones
from agentfield_rt.plane.telephony.hanging_up import hang_up
from agentfield_rt.voice.session import VoiceSession

log = logging.getLogger(__name__)

CALLER_RATE_HZ = 16_000
MESSAGE_BYTES_MAX = CALLER_RATE_HZ * 2
BYTES_PER_S = CALLER_RATE_HZ * 2
AHEAD_MAX_S = 30.0
"""How much more sound may come than time has passed: a recording may be sent at once, days of noise not."""

END_TURN = {"type": "end_turn"}
"""What a caller sends, as JSON text, when the button is let go (push to talk)."""
SEND_MAX_S = 4.0
"""A caller who takes nothing for so long hears nothing any more: it has gone."""

CLOSE_MAX_S = 2.0
CALLERS_FAULT = 4400
SERVERS_FAULT = 4500


class WebSocketCaller:
    """Takes the agent's audio (`voice.player.Caller`).

    Attributes:
        is_deaf: Set when it takes nothing any more.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self.is_deaf = asyncio.Event()

    async def play(self, pcm: bytes) -> None:
        await self._send(self._socket.send_bytes(pcm))

    async def clear(self) -> None:
        await self._send(self._socket.send_json({"type": "clear"}))

    async def _send(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the reader sees it and hangs up
                async with asyncio.timeout(SEND_MAX_S):
                    await sending
        except TimeoutError:
            self.is_deaf.set()


class Upsampler:
    """16 kHz pieces of any length into whole 20 ms frames at 24 kHz."""

    def __init__(self) -> None:
        self._stream = _upsampling()
        self._rest = b""

    def push(self, pcm: bytes) -> list[bytes]:
        samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2")
        data = self._rest + self._stream.resample_chunk(samples).tobytes()
        whole = len(data) // FRAME_BYTES * FRAME_BYTES
        self._rest = data[whole:]
        return _frames(data[:whole])

    def flush(self) -> list[bytes]:
        """What was held back, filled up with silence; what is pushed next begins anew."""
        held = self._stream.resample_chunk(np.zeros(0, np.int16), last=True)
        data, self._rest, self._stream = self._rest + held.tobytes(), b"", _upsampling()
        return _frames(data + bytes(-len(data) % FRAME_BYTES))


def _upsampling() -> soxr.ResampleStream:
    # The low quality holds back 12 ms; the better ones would add 60.
    return soxr.ResampleStream(CALLER_RATE_HZ, SAMPLE_RATE_HZ, 1, dtype="int16", quality="LQ")


def _frames(data: bytes) -> list[bytes]:
    return [data[start : start + FRAME_BYTES] for start in range(0, len(data), FRAME_BYTES)]


async def carry_media(plane: ControlPlane, socket: WebSocket, session_id: str) -> None:
    """Connect the session to this socket and carry audio until one of them ends."""
    if not is_same_origin(socket.headers, plane.settings.cors_origins):
        await socket.close()  # before it is accepted: the browser is told 403
        return
    await socket.accept()
    try:
        session = plane.sessions.get(session_id, caller_of(socket.scope))
        if not session.spec.carries_audio:
            raise IllegalCommand("the media socket is not for transport=webrtc: send an SDP offer instead")
        caller = WebSocketCaller(socket)
        await session.connect(caller=caller)
    except (RealtimeError, JournalError) as error:
        await _refuse(socket, error)
        return
    ends = [
        asyncio.create_task(what, name=f"media {session_id}")
        for what in (_carry(socket, session), session.ended(), caller.is_deaf.wait())
    ]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        await asyncio.wait(ends)
        await hang_up(session)
        # It may have hung up first, or be deaf.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(CLOSE_MAX_S):
                await socket.close()
    if not ends[0].cancelled():
        ends[0].result()


async def _carry(socket: WebSocket, session: VoiceSession) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        await socket.send_json({"type": "ready"})
        await _listen(socket, session)


async def _listen(socket: WebSocket, session: VoiceSession) -> None:
    upsampler, tones = Upsampler(), Tones(session)
    began_at_s, heard_bytes = asyncio.get_running_loop().time(), 0
    while not session.is_over:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        pcm: bytes | None = message.get("bytes")
        ends_turn = pcm is None and _ends_turn(message.get("text"))
        if ends_turn:
            pieces = upsampler.flush()
        elif pcm is not None and len(pcm) <= MESSAGE_BYTES_MAX:
            heard_bytes += len(pcm)
            if heard_bytes / BYTES_PER_S > asyncio.get_running_loop().time() - began_at_s + AHEAD_MAX_S:
                await socket.close(CALLERS_FAULT, "more sound comes than time passes")
                return
            pieces = upsampler.push(pcm)
        else:
            await socket.close(CALLERS_FAULT, f"a message is at most {MESSAGE_BYTES_MAX} bytes of audio")
            return
        for frame in pieces:
            tones.heard(frame)
            await _give(session, session.hear_audio(frame))
        if ends_turn:
            await _give(session, session.inputs.end_turn())


async def _give(session: VoiceSession, giving: Awaitable[None]) -> None:
    """What the session does not take is lost, and the call goes on; a session that is over says so itself."""
    try:
        await giving
    except RealtimeError:
        if not session.is_over:
            log.info("something that session %s was given was not sent", session.session_id)


def _ends_turn(text: str | None) -> bool:
    if text is None or len(text) > MESSAGE_BYTES_MAX:
        return False
    with contextlib.suppress(ValueError, RecursionError):
        return bool(json.loads(text) == END_TURN)
    return False


async def _refuse(socket: WebSocket, error: RealtimeError | JournalError) -> None:
    is_ours = isinstance(error, ProviderError | JournalError)
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it left before it was told
        await socket.send_json({"type": "error", "message": str(error)})
        await socket.close(SERVERS_FAULT if is_ours else CALLERS_FAULT)
