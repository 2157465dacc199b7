"""Every fault against every production adapter: what is recorded, what the caller hears, what happens twice.

`python -m tests.local_provider.fault_table` runs it and writes docs/reference/provider-faults.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from agentfield_adapters.local.faults.fault import KNOBS
from agentfield_adapters.local.running import LocalProvider, running_provider
from tests.local_provider.fault_calls import Case, play
from tests.local_provider.fault_list import FAULTS, PAIRS, PATIENCE_S

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "provider-faults.md"
CALLS_AT_ONCE = {"websocket": 16, "audio_turns": 16, "webrtc": 8}
"""A WebRTC call needs the processor, and is over when its caller is not heard of for two seconds."""


async def play_all(provider: LocalProvider) -> list[Case]:
    """Play every case, some at a time."""
    cases = [Case(fault, pair) for name, pairs in PAIRS.items() for fault in FAULTS[name] for pair in pairs]
    with ExitStack() as patience:
        for module, name, seconds in PATIENCE_S:
            patience.enter_context(patch.object(module, name, seconds))
        for transports in (("websocket", "audio_turns"), ("webrtc",)):
            turnstile = asyncio.Semaphore(sum(CALLS_AT_ONCE[transport] for transport in transports))
            meant = [case for case in cases if case.transport in transports]
            await asyncio.gather(*(_in_turn(turnstile, case, provider) for case in meant))
    return cases


async def _in_turn(turnstile: asyncio.Semaphore, case: Case, provider: LocalProvider) -> None:
    async with turnstile:
        await play(case, provider)


def row(case: Case) -> str:
    """What came of a fault, as a line of the table."""
    notices = [f"notice `{code}`" for code in dict.fromkeys(case.notices)]
    told = "; ".join([*notices, *case.told]) or "nothing"
    return f"| `{case.fault}` | {told} | {case.recorded or 'as always'} | {case.goes_on} |"


def page(cases: Sequence[Case]) -> str:
    """The page of the documentation."""
    lines = [_HEAD]
    for pairs in PAIRS.values():
        shown = next(iter(pairs))
        lines += [f"## {' and '.join(pairs)}", ""]
        lines += ["| fault | the caller is told | recorded | goes on |", "| --- " * 4 + "|"]
        lines += [*(row(case) for case in cases if case.pair == shown), ""]
    lines += ["## What each fault does", "", "| fault | |", "| --- | --- |"]
    lines += [f"| `{knob}` | {about.text} |" for knob, about in KNOBS.items()]
    return "\n".join([*lines, ""])


_HEAD = """# Faults of a provider

Written by a run of every fault of the [local provider](../how-to/use-the-local-provider.md) against the
production adapters (`python -m tests.local_provider.fault_table`); a test holds it to what happens. In each
run a call meets one fault in a turn with a tool call, and a sentence follows. In all of them every operation
has its recorded outcome, the [audit](audit.md) of the journal finds nothing, and the provider was asked for
no item, no tool output, no answer and no call twice. The adapters are given less patience than they have, so
that a run takes a minute.

*Goes on*: `yes` on the same connection, `reconnected` after the connection was replaced, `asked again`, in a
new session if there was none, because the error said that a new try may succeed, `no` because it said that
none will.
"""


def main() -> None:
    """Run all and write the page."""
    with running_provider("--seed", "1") as provider:
        cases = asyncio.run(play_all(provider))
    PAGE.write_text(page(cases))


if __name__ == "__main__":
    main()
