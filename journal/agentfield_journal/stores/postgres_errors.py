"""What the server or the way to it did wrong, as errors of the journal."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from agentfield_journal.errors import JournalConflict, JournalFull, JournalUnavailable


@contextmanager
def typed_errors() -> Generator[None]:
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise JournalFull("the server has no room; free some and reopen the journal") from error
    except psycopg.errors.UniqueViolation as error:
        raise JournalConflict("another writer has stored this record; reopen the run and read") from error
    except psycopg.Error as error:
        raise JournalUnavailable(
            f"the server failed: {type(error).__name__}; reopen the journal and read before going on"
        ) from error
