"""Pipecat: an audio frame through processors that pass it on. What one more processor adds is counted."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# The peer is not installed where types are checked.

import asyncio
import contextlib

from loguru import logger
from pipecat.frames.frames import OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from benchmarks.hop import each_s
from benchmarks.peers import measuring

RATE_HZ = 24_000
SILENCE = bytes(960)
SHORT, LONG = 2, 12


class Pass(FrameProcessor):
    """Hands everything on."""

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Writer(FrameProcessor):
    """The caller's writer, which says when it was given something."""

    def __init__(self):
        super().__init__()
        self.has = asyncio.Event()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputAudioRawFrame):
            self.has.set()
        await self.push_frame(frame, direction)


async def running(processors):
    worker = PipelineWorker(
        Pipeline(processors),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
        enable_turn_tracking=False,
        params=PipelineParams(),
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    return worker, asyncio.create_task(runner.run())


async def through_s(processors, events):
    first, writer, begun = Pass(), Writer(), asyncio.Event()
    worker, task = await running([first, *(Pass() for _ in range(processors - 1)), writer])

    @worker.event_handler("on_pipeline_started")
    async def _(*_):
        begun.set()

    await begun.wait()
    await asyncio.sleep(0.05)

    async def event():
        writer.has.clear()
        frame = OutputAudioRawFrame(audio=SILENCE, sample_rate=RATE_HZ, num_channels=1)
        await first.queue_frame(frame, FrameDirection.DOWNSTREAM)
        await writer.has.wait()

    took_s = await each_s(event, events)
    await worker.cancel()
    with contextlib.suppress(asyncio.CancelledError, TimeoutError):
        await asyncio.wait_for(task, 5)
    return took_s


async def event_s(events):
    short_s = await through_s(SHORT, events)
    return (await through_s(LONG, events) - short_s) / (LONG - SHORT)


async def keep(sessions):
    kept = [await running([Pass(), Pass(), Pass()]) for _ in range(sessions)]
    await asyncio.sleep(1.5)
    return kept


if __name__ == "__main__":
    logger.remove()
    measuring.main(event_s, keep)
