"""LiveKit's AgentSession with a realtime model that is none: its audio, frame by frame, to its AudioOutput.

Nothing is decoded: a frame is given to the session as a LiveKit frame.
"""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportOptionalMemberAccess=false
# The peer is not installed where types are checked.

import asyncio
import logging

from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, utils
from livekit.agents.voice import io

from benchmarks.hop import each_s
from benchmarks.peers import measuring

RATE_HZ = 24_000
SILENCE = bytes(960)


class ModelSession(llm.RealtimeSession):
    """Takes everything and says only what the benchmark lets it say."""

    def __init__(self, model):
        super().__init__(model)
        self._chat, self._tools = llm.ChatContext.empty(), llm.ToolContext.empty()

    @property
    def chat_ctx(self):
        return self._chat

    @property
    def tools(self):
        return self._tools

    async def update_instructions(self, instructions):
        pass

    async def update_chat_ctx(self, chat_ctx):
        pass

    async def update_tools(self, tools):
        pass

    def update_options(self, *, tool_choice=None):
        pass

    def push_audio(self, frame):
        pass

    def push_video(self, frame):
        pass

    def generate_reply(self, **options):
        return asyncio.get_running_loop().create_future()

    def commit_audio(self):
        pass

    def clear_audio(self):
        pass

    def interrupt(self):
        pass

    def truncate(self, **options):
        pass

    async def aclose(self):
        pass


class Model(llm.RealtimeModel):
    """Makes such sessions."""

    def __init__(self):
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                message_truncation=True,
                turn_detection=True,
                user_transcription=True,
                auto_tool_reply_generation=False,
                audio_output=True,
                manual_function_calls=False,
            )
        )
        self.made = None

    def session(self, **options):
        self.made = ModelSession(self)
        return self.made

    async def aclose(self):
        pass


class Microphone(io.AudioInput):
    """Silent for ever."""

    def __init__(self):
        super().__init__(label="microphone")
        self._frames = utils.aio.Chan()

    async def __anext__(self):
        return await self._frames.recv()


class Writer(io.AudioOutput):
    """The caller's writer, which says when it was given something."""

    def __init__(self):
        super().__init__(
            label="writer", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=RATE_HZ
        )
        self.has = asyncio.Event()

    async def capture_frame(self, frame):
        await super().capture_frame(frame)
        self.has.set()

    def flush(self):
        super().flush()
        self.on_playback_finished(playback_position=1.0, interrupted=False)

    def clear_buffer(self):
        self.on_playback_finished(playback_position=0.0, interrupted=True)


async def started():
    model = Model()
    session = AgentSession(llm=model, vad=None)
    session.input.audio, session.output.audio = Microphone(), Writer()
    await session.start(Agent(instructions="x"), record=False)
    return session, model


async def event_s(events):
    session, model = await started()
    await asyncio.sleep(0.05)
    writer = session.output.audio
    audio, text, messages, functions = (utils.aio.Chan() for _ in range(4))
    modalities = asyncio.get_running_loop().create_future()
    modalities.set_result(["audio", "text"])
    messages.send_nowait(
        llm.MessageGeneration(message_id="m", text_stream=text, audio_stream=audio, modalities=modalities)
    )
    for stream in (messages, functions, text):
        stream.close()
    model.made.emit(
        "generation_created",
        llm.GenerationCreatedEvent(
            message_stream=messages, function_stream=functions, user_initiated=False, response_id="r"
        ),
    )

    async def event():
        writer.has.clear()
        audio.send_nowait(rtc.AudioFrame(SILENCE, RATE_HZ, 1, len(SILENCE) // 2))
        await writer.has.wait()

    took_s = await each_s(event, events)
    audio.close()
    await asyncio.sleep(0.05)
    await session.aclose()
    return took_s


async def keep(sessions):
    return [await started() for _ in range(sessions)]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    measuring.main(event_s, keep)
