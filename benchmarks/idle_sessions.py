"""What a session costs in which nobody talks: memory of each of 10,000 in one process, beside other peers.

    python benchmarks/idle_sessions.py --peers FOLDER

By how many resident bytes a process grows with each session, once 20 were made. Ours is whole: controller and
connected adapter, conversation, rules, player, handler and the tasks that wait, in a run of its own, in a
journal on the disk. Neither ours nor a peer's holds a socket. All are measured in processes of their own;
`session_peers.py` says how peers are installed. Of peers fewer are made, because they take more.
"""

import argparse
import asyncio
import os
import tempfile
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from agentfield_journal import open_journal
from agentfield_rt import Run
from agentfield_rt.voice.session import VoiceSession
from benchmarks.peers.measuring import idle_bytes
from benchmarks.peers.process import LIVEKIT, OPENAI_AGENTS, PIPECAT, ask
from benchmarks.voice_call import BareAdapter, Ear, services, voice_session

SESSIONS = 10_000
TOGETHER = 100
BAR_KIB = 10
PEERS = ((OPENAI_AGENTS, 1_000), (LIVEKIT, 200), (PIPECAT, 200))


async def ours_bytes(sessions: int) -> float:
    everything: list[VoiceSession] = []
    shared = services()
    with tempfile.TemporaryDirectory() as folder:
        async with open_journal(f"sqlite:///{folder}/journal.db") as journal:

            async def begin(number: int) -> VoiceSession:
                run = await Run.open(journal, f"run_{number:016x}")
                session = voice_session(run, BareAdapter(), session_id=f"sess_{number:016x}", shared=shared)
                await session.connect(caller=Ear())
                return session

            async def keep(count: int) -> None:
                while count:  # together, because they share the disk's syncs
                    few = min(count, TOGETHER)
                    first = len(everything)
                    everything.extend(await asyncio.gather(*map(begin, range(first, first + few))))
                    count -= few

            each_bytes = await idle_bytes(keep, sessions)
            return each_bytes


def ours(sessions: int, tell: Connection) -> None:
    async def measure() -> None:
        tell.send(await ours_bytes(sessions))
        os._exit(0)  # they are not hung up one by one

    asyncio.run(measure())


def main(peers: Path | None, sessions: int = SESSIONS) -> None:
    hear, tell = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=ours, args=(sessions, tell))
    process.start()
    tell.close()  # so that a process that fails ends the wait
    each_bytes = hear.recv()
    process.join()
    print(f"{'this':<20} {sessions:>7,} sessions {each_bytes / 1024:7.1f} KiB each   (bar: {BAR_KIB})")
    for peer, most in PEERS:
        count = min(most, sessions)
        peer_bytes: float | None = ask(peer, peers, "idle", count)
        if peer_bytes is None:
            print(f"{peer.name:<20} not installed")
        else:
            print(f"{peer.name:<20} {count:>7,} sessions {peer_bytes / 1024:7.1f} KiB each")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, help="where the peers are installed")
    main(parser.parse_args().peers)
