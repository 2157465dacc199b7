"""Pipecat's small WebRTC transport: a pipeline of its input, a processor that speaks, its output."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# The peer is not installed where types are checked.

import asyncio

from loguru import logger
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame, StartFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner

from benchmarks.peers import call_server
from benchmarks.peers.speech import FRAME_S, spoken

RATE_HZ = 24_000
SECOND = b"".join(spoken(RATE_HZ)[:50])


class Talk(FrameProcessor):
    """Hears the caller, and speaks all the time: a second of speech every second."""

    heard_frames = 0.0

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            Talk.heard_frames += len(frame.audio) / (RATE_HZ * 2 * FRAME_S)
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._speaking = self.create_task(self._speak())

    async def _speak(self):
        due_s = asyncio.get_running_loop().time()
        while True:
            await self.push_frame(OutputAudioRawFrame(audio=SECOND, sample_rate=RATE_HZ, num_channels=1))
            due_s += 1
            await asyncio.sleep(due_s - asyncio.get_running_loop().time() - 0.2)


class Server:
    """All calls of this process."""

    def __init__(self):
        self._runners = []

    @property
    def heard_frames(self):
        return Talk.heard_frames

    async def answer(self, offer):
        connection = SmallWebRTCConnection()
        await connection.initialize(offer, "offer")
        transport = SmallWebRTCTransport(
            connection,
            TransportParams(
                audio_in_enabled=True,
                audio_out_enabled=True,
                audio_in_sample_rate=RATE_HZ,
                audio_out_sample_rate=RATE_HZ,
            ),
        )
        worker = PipelineWorker(
            Pipeline([transport.input(), Talk(), transport.output()]),
            cancel_on_idle_timeout=False,
            enable_rtvi=False,
            enable_turn_tracking=False,
            params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ),
        )
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        self._runners.append((transport, asyncio.create_task(runner.run())))
        return connection.get_answer()["sdp"]


async def started():
    return Server()


if __name__ == "__main__":
    logger.remove()
    call_server.main(started)
