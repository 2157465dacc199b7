"""The runtime without agent, plane and network: an adapter, a journal, and a controller between them."""

import asyncio

from agentfield_adapters.scripted import ScriptedAdapter
from agentfield_journal import open_journal
from agentfield_rt import RealtimeSessionController, Run
from agentfield_rt.frames import TextFrame


async def main() -> None:
    async with open_journal("memory:") as journal:
        run = await Run.open(journal, "run-1")
        async with RealtimeSessionController(ScriptedAdapter(), run, session_id="session-1") as session:
            await session.connect()
            await session.send(TextFrame("frame-1", "Where is order four?"))
            for event in await session.receive(demand=10):
                print("the provider gave", event)
        for record in await journal.read("run-1"):
            print(record.seq, record.kind, record.op_id)


asyncio.run(main())
