"""A process to be killed: appends batches to several runs and tells each cursor once it is durable."""

import asyncio
import multiprocessing
from collections.abc import Generator
from contextlib import contextmanager
from io import BufferedReader
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from agentfield_journal import RunWriter, open_journal
from agentfield_journal.testing import make_draft

# Each writer is a fork of a process that has imported all this: what is killed is a journal, not an import.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__, "tests.journal.torture"])


@contextmanager
def writing_process(url: str) -> Generator[tuple[BaseProcess, BufferedReader]]:
    """A process that writes to `url` until it is killed, and what it tells, line by line."""
    told, tell = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_write, args=(url, tell))
    process.start()
    tell.close()
    with told, open(told.fileno(), "rb", closefd=False) as lines:
        try:
            yield process, lines
        finally:
            process.kill()
            process.join()
            process.close()


def _write(url: str, tell: Connection) -> None:
    with open(tell.fileno(), "wb", buffering=0, closefd=False) as out:

        async def append_for_ever(writer: RunWriter) -> None:
            while True:
                first = writer.head.seq + 1
                cursor = writer.append([make_draft(first), make_draft(first + 1), make_draft(first + 2)])
                await writer.durable(cursor)
                out.write(f"{cursor.run_id} {cursor.seq}\n".encode())

        async def main() -> None:
            async with open_journal(url) as journal:
                writers = [await journal.open_run(f"run-{number}") for number in range(4)]
                await asyncio.gather(*map(append_for_ever, writers))

        asyncio.run(main())
