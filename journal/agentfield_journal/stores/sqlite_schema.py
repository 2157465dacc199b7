"""Is a file's schema the one its kind was made with? What was added could act, or show other rows."""

import functools
from pathlib import Path

import apsw

from agentfield_journal.stores.sqlite_connection import Database, connect

_NAMES = (
    "SELECT type || ' ' || quote(name) FROM sqlite_schema"
    " WHERE type <> 'index' OR name NOT LIKE 'sqlite_autoindex_%'"
)


def schema_problems(db: Database, statements: str) -> list[str]:
    """Tables, indexes, views and triggers that `statements` do not make, or that are gone."""
    found, expected = _names(db), _made_by(statements)
    added = [f"its schema has a {name} of somebody else" for name in sorted(found - expected)]
    return added + [f"its schema lacks the {name}" for name in sorted(expected - found)]


def _names(db: Database) -> frozenset[str]:
    return frozenset(str(name) for (name,) in db.execute(_NAMES).fetchall())


@functools.cache
def _made_by(statements: str) -> frozenset[str]:
    db = connect(Path(":memory:"), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, None)
    try:
        db.execute(statements)
        return _names(db)
    finally:
        db.close()
