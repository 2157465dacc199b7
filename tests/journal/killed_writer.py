"""A process to be killed: appends batches to several runs and prints each cursor once it is durable."""

import asyncio
import sys

from agentfield_journal import RunWriter, open_journal
from agentfield_journal.testing import make_draft


async def append_for_ever(writer: RunWriter) -> None:
    while True:
        first = writer.head.seq + 1
        cursor = writer.append([make_draft(first), make_draft(first + 1), make_draft(first + 2)])
        await writer.durable(cursor)
        sys.stdout.write(f"{cursor.run_id} {cursor.seq}\n")
        sys.stdout.flush()


async def main(url: str) -> None:
    async with open_journal(url) as journal:
        writers = [await journal.open_run(f"run-{number}") for number in range(4)]
        await asyncio.gather(*map(append_for_ever, writers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
