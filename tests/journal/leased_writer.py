"""A process that wants to write a run on a server: prints what became of it, then each durable record.

Lines: `refused HOLDER`, or `opened EPOCH` and then `durable SEQ` for ever, at last `stopped ERROR`.
"""

import asyncio
import sys

from agentfield_journal import JournalError, LeaseTerms, RunLeased, RunWriter, open_journal
from agentfield_journal.testing import make_draft


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def append_for_ever(writer: RunWriter) -> None:
    while True:
        cursor = writer.append([make_draft(writer.head.seq + 1)])
        await writer.durable(cursor)
        say("durable", cursor.seq)


async def main(url: str, holder: str, lease_s: float) -> None:
    async with open_journal(url, lease=LeaseTerms(holder=holder, lease_s=lease_s)) as journal:
        sys.stdin.readline()  # the starting shot
        try:
            writer = await journal.open_run("run-1")
        except RunLeased as leased:
            say("refused", leased.holder)
            return
        say("opened", writer.epoch)
        try:
            await append_for_ever(writer)
        except JournalError as error:
            say("stopped", type(error).__name__)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
