"""Many live sessions without media in one plane, for minutes: no error, and memory that does not grow.

    python -m benchmarks.plane_sessions --sessions 1000 --minutes 10

The plane and the provider are processes of their own, over real sockets. With `--turns 1`
every session gets a typed turn a minute and its handler takes it; what was said is remembered until a session
ends, so memory grows with turns. At the end every one of them must be live. Memory is flat when the median of
the last quarter is no more than 2 % above that of the second: in the first, caches and heaps still fill.
"""

import argparse
import asyncio
import statistics
import sys
import time
from http import HTTPStatus

import httpx

from benchmarks.plane_process import PlaneProcess, plane_process, start_session

TOGETHER = 10
SAMPLE_EVERY_S = 2.0
GROWTH_BAR = 0.02


async def talk(
    client: httpx.AsyncClient, session_ids: list[str], *, pause_s: float, until: float
) -> tuple[int, list[str]]:
    """Typed turns for one after the other; how many, and what went wrong."""
    turns, wrong = 0, list[str]()
    due = time.monotonic()
    while time.monotonic() < until:
        session_id = session_ids[turns % len(session_ids)]
        answer = await client.post(
            f"/api/v1/session-instances/{session_id}/input", json={"text": f"turn {turns}"}
        )
        turns += 1
        if answer.status_code != HTTPStatus.ACCEPTED:
            wrong.append(f"{session_id}: {answer.status_code} {answer.text[:200]}")
        due += pause_s
        await asyncio.sleep(max(0.0, min(due, until) - time.monotonic()))
    return turns, wrong


async def sampled(plane: PlaneProcess, *, until: float) -> list[int]:
    """Resident bytes, every two seconds."""
    found: list[int] = []
    while time.monotonic() < until:
        found.append(plane.resident_bytes())
        await asyncio.sleep(SAMPLE_EVERY_S)
    return found


async def still_live(client: httpx.AsyncClient, session_ids: list[str]) -> list[str]:
    """Those that have ended."""
    ended: list[str] = []
    for session_id in session_ids:
        shown = await client.get(f"/api/v1/session-instances/{session_id}")
        if shown.status_code != HTTPStatus.OK or shown.json().get("phase") != "open":
            ended.append(f"{session_id}: {shown.status_code} {shown.text[:200]}")
    return ended


async def main(count: int, minutes: float, turns_a_minute: float) -> bool:
    async with plane_process() as plane:
        limits = httpx.Limits(max_connections=TOGETHER)
        async with httpx.AsyncClient(base_url=plane.url, timeout=60, limits=limits) as client:
            began, idle_bytes = time.monotonic(), plane.resident_bytes()
            session_ids: list[str] = []
            for _ in range(0, count, TOGETHER):
                few = min(TOGETHER, count - len(session_ids))
                session_ids += await asyncio.gather(*(start_session(client) for _ in range(few)))
            print(f"{count} sessions live after {time.monotonic() - began:.0f} s", flush=True)
            until = time.monotonic() + minutes * 60
            samples, (turns, wrong) = await asyncio.gather(
                sampled(plane, until=until),
                talk(client, session_ids, pause_s=60 / (turns_a_minute * count or 1e-9), until=until),
            )
            wrong += await still_live(client, session_ids)
    quarter = len(samples) // 4
    early, late = statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:])
    growth = late / early - 1
    print(f"{turns} turns, {len(wrong)} errors   (bar: 0)")
    print(f"{(early - idle_bytes) / count / 1e3:.0f} KB each, {late / 1e6:.0f} MB in all")
    print(f"memory grew by {growth:+.2%} over the second half   (bar: {GROWTH_BAR:.0%})")
    for problem in wrong[:10]:
        print(problem)
    return not wrong and growth <= GROWTH_BAR


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--turns", type=float, default=0.0, help="a minute, of each session")
    given = parser.parse_args()
    sys.exit(not asyncio.run(main(given.sessions, given.minutes, given.turns)))
