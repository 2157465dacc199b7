"""Deletes content that is older than it may be. Knows no sessions: content has a class and an age."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from agentfield_journal import ContentStore, JournalError, Retention
from agentfield_rt.config import Settings
from agentfield_rt.plane.upkeep.recurring import recurring
from agentfield_rt.ports import system_clock

log = logging.getLogger(__name__)

_EVERY_S = 3_600.0
_DAY_NS = 86_400_000_000_000


def days_kept(settings: Settings) -> dict[Retention, int]:
    """How many days content of each class is kept. Not in it: `ephemeral`, which is never stored, and
    `durable`, which is kept until it is erased."""
    if settings.content_days == 0:
        return {}
    return {Retention.RUN: settings.content_days, Retention.SESSION: settings.content_days}


@asynccontextmanager
async def expire_content(
    content: ContentStore, settings: Settings, *, clock: Callable[[], int] = system_clock
) -> AsyncGenerator[None]:
    """Delete what is older than its class is kept for, at once and then every hour."""
    days = days_kept(settings)
    if not days:
        yield
        return

    async def expire() -> None:
        now_ns = clock()
        try:
            gone = await content.expire(
                before_ns={retention: now_ns - kept * _DAY_NS for retention, kept in days.items()}
            )
        except JournalError as error:
            log.warning("content could not be expired: %s", error)
            return
        if gone:
            log.info("%d pieces of content were too old and are gone", len(gone))

    async with recurring(expire, every_s=_EVERY_S):
        yield
