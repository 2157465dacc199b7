"""A caller with a microphone that is silent: just enough of a browser to have a call."""

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack


class SilentCaller:
    """One peer connection. Offer, then accept the answer, then hang up."""

    def __init__(self) -> None:
        self._peer = RTCPeerConnection()

    async def offer(self) -> str:
        """An SDP offer with audio and the data channel the protocol asks for."""
        self._peer.addTrack(AudioStreamTrack())
        self._peer.createDataChannel("oai-events")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return self._peer.localDescription.sdp

    async def accept(self, answer_sdp: str) -> None:
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp=answer_sdp, type="answer"))

    async def hang_up(self) -> None:
        await self._peer.close()
