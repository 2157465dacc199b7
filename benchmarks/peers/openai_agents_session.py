"""The OpenAI Agents SDK's realtime session: the wire event through its own decoding to whoever iterates."""

# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# The peer is not installed where types are checked.

import asyncio
import json

from agents.realtime import RealtimeAgent, RealtimeRunner
from agents.realtime.openai_realtime import OpenAIRealtimeWebSocketModel

from benchmarks.hop import each_s
from benchmarks.peers import measuring
from benchmarks.peers.wire import AUDIO_EVENT


class SocketlessModel(OpenAIRealtimeWebSocketModel):
    """The SDK's model over no socket."""

    async def connect(self, options):
        pass

    async def send_event(self, event):
        pass

    async def close(self):
        pass


async def started():
    model = SocketlessModel()
    session = await RealtimeRunner(RealtimeAgent(name="agent", instructions="x"), model=model).run()
    await session.enter()
    return session, model


async def event_s(events):
    session, model = await started()
    has = asyncio.Event()

    async def writer():
        async for event in session:
            if event.type == "audio":
                has.set()

    writing = asyncio.create_task(writer())

    async def event():
        has.clear()
        await model._handle_ws_event(json.loads(AUDIO_EVENT))
        await has.wait()

    took_s = await each_s(event, events)
    writing.cancel()
    await session.close()
    return took_s


async def keep(sessions):
    async def take(session):
        async for _ in session:
            pass

    kept = []
    for _ in range(sessions):
        session, _ = await started()
        kept += [session, asyncio.create_task(take(session))]
    await asyncio.sleep(0.1)
    return kept


if __name__ == "__main__":
    measuring.main(event_s, keep)
