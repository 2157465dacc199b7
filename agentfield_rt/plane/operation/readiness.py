"""Whether a plane can take work, and what keeps it from that. Asked by whoever sends it requests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agentfield_journal import ContentGone, ContentStore, JournalError, StoreJournal
from agentfield_rt.errors import RealtimeError
from agentfield_rt.plane.operation.draining import Draining
from agentfield_rt.plane.providers import Providers

CHECK_MAX_S = 2.0
"""How long every part may take to answer."""

RETRY_AFTER_S = 5
"""When to ask again."""

_NO_REF = "content.none"

Check = Callable[[], Awaitable[None]]
"""Returns if a part can do its work, else raises what keeps it."""


class NotReady(RealtimeError):
    """A part of the plane cannot do its work; the text says why."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What every part said of itself: "ok", or what is wrong."""

    parts: Mapping[str, str]

    @property
    def is_ready(self) -> bool:
        return all(said == "ok" for said in self.parts.values())


async def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Ask every part at once."""
    said = await asyncio.gather(*(_asked(check) for check in checks.values()))
    return Readiness(dict(zip(checks, said, strict=True)))


async def _asked(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_MAX_S):
            await check()
    except TimeoutError:
        return f"did not answer within {CHECK_MAX_S:g} s"
    except (RealtimeError, JournalError) as error:
        return str(error)
    return "ok"


def checks_of(
    journal: StoreJournal, content: ContentStore, *, providers: Providers, draining: Draining
) -> dict[str, Check]:
    """The checks of a plane's parts, by name."""

    async def takes_records() -> None:
        if await journal.on_writer(lambda: journal.store.full):
            raise NotReady("the disk is full: make room, then start this server again")

    async def keeps_content() -> None:
        try:
            await content.get(_NO_REF)
        except ContentGone:
            pass  # it looked, and there is none of this name

    async def takes_work() -> None:
        if draining.has_begun:
            raise NotReady("this server is about to stop; it takes no new work")

    return {
        "journal": takes_records,
        "content": keeps_content,
        "provider": providers.require_local,
        "admission": takes_work,
    }
