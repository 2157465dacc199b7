"""Broken offers by the hundred thousand: through the guard, and those that pass it into the WebRTC stack.

Run: python -m tests.media.offer_campaign [--offers 100000] [--seed 1] [--answer-every 20]

Each ends in a refusal that the caller is told, or in a clean offer that reads back as it was written. Nothing
else may be raised, and nothing may stay behind: no task, thread, socket or memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from agentfield_adapters.media.webrtc import webrtc_callers
from agentfield_rt.caller_media import CallerEvents, IceSettings
from agentfield_rt.errors import RealtimeError
from agentfield_rt.sdp import BadOffer, Offer, read_offer, write_offer
from tests.media.offers import CHROMIUM, mutated_offers

_SETTLE_ROUNDS = 200


@dataclass
class Tally:
    """What became of the offers."""

    refused: int = 0
    clean: int = 0
    answered: int = 0
    unanswerable: int = 0


@dataclass(frozen=True)
class Held:
    """What this process holds on to, beside memory."""

    tasks: int
    threads: int
    files: int


def held() -> Held:
    """Count it now."""
    gc.collect()
    return Held(len(asyncio.all_tasks()), threading.active_count(), len(os.listdir("/proc/self/fd")))


async def settled() -> Held:
    """Count it once what was closed has had its turns of the loop."""
    for _ in range(_SETTLE_ROUNDS):
        await asyncio.sleep(0)
    return held()


def cleaned(sdp: bytes) -> Offer | None:
    """The offer, or None when it is refused.

    Raises:
        AssertionError: it does not read back as it was written.
    """
    try:
        offer = read_offer(sdp, private=False)
    except BadOffer:
        return None
    text = write_offer(offer)
    assert read_offer(text.encode(), private=False) == offer, "a clean offer reads back as another"
    return offer


def _ignore(_: object = None) -> None:
    return


async def answer(offer: Offer) -> bool:
    """Whether the stack answers it; it is hung up on at once."""
    events = CallerEvents(heard=_ignore, digit=_ignore, gone=_ignore)
    media = webrtc_callers()(events, IceSettings())
    try:
        await media.answer(offer)
    except RealtimeError:
        return False
    finally:
        await media.close()
    return True


async def run(offers: Iterable[bytes], *, answer_every: int) -> Tally:
    """Send all of them through the guard, and every so many that pass on to the stack."""
    tally = Tally()
    for sdp in offers:
        offer = cleaned(sdp)
        if offer is None:
            tally.refused += 1
            continue
        tally.clean += 1
        if tally.clean % answer_every == 0:
            answers = await answer(offer)
            tally.answered += answers
            tally.unanswerable += not answers
    return tally


async def main() -> None:
    """Say what became of them and what stayed behind; the exit code is the verdict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--offers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--answer-every", type=int, default=20)
    arguments = parser.parse_args()
    await run(
        [CHROMIUM, *mutated_offers(0, 2_000)], answer_every=20
    )  # everything is loaded, pools are filled
    before, memory_kib, began = await settled(), _memory_kib(), time.monotonic()
    offers = mutated_offers(arguments.seed, arguments.offers)
    tally = await run(offers, answer_every=arguments.answer_every)
    after, grown_kib = await settled(), _memory_kib() - memory_kib
    print(f"{arguments.offers} offers in {time.monotonic() - began:.0f} s: {tally}")  # noqa: T201
    print(f"before {before}, after {after}; memory grew by {grown_kib} KiB")  # noqa: T201
    if before != after or tally.clean == 0 or tally.answered == 0:
        raise SystemExit(1)


def _memory_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    asyncio.run(main())
