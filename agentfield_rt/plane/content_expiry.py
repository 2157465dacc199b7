"""Deletes content that is older than it may be. Knows no sessions: content has a class and an age."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from agentfield_journal import ContentStore, JournalError, Retention
from agentfield_rt.config import Settings
from agentfield_rt.plane.recurring import recurring
from agentfield_rt.ports import system_clock

log = logging.getLogger(__name__)

_EVERY_S = 3_600.0
_DAY_NS = 86_400_000_000_000
_EXPIRING = (Retention.RUN, Retention.SESSION)


@asynccontextmanager
async def expire_content(
    content: ContentStore, settings: Settings, *, clock: Callable[[], int] = system_clock
) -> AsyncGenerator[None]:
    """Delete what runs and sessions left longer than `content_days` ago, at once and then every hour."""
    if settings.content_days == 0:
        yield
        return

    async def expire() -> None:
        before_ns = clock() - settings.content_days * _DAY_NS
        try:
            gone = await content.expire(before_ns=dict.fromkeys(_EXPIRING, before_ns))
        except JournalError as error:
            log.warning("content could not be expired: %s", error)
            return
        if gone:
            log.info("%d pieces of content were too old and are gone", len(gone))

    async with recurring(expire, every_s=_EVERY_S):
        yield
