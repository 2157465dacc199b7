"""Tools for making a journal wrong in exactly one way, and the list of all ways."""

from collections.abc import Callable

from msgspec.structs import replace

from agentfield_journal import Envelope
from agentfield_rt.audit import Code
from agentfield_rt.core.records import Record
from tests.audit.story import chained, index_of, rewritten, spliced

Mutation = Callable[[list[Envelope]], list[Envelope]]
MUTATIONS: dict[str, tuple[Code, Mutation]] = {}
SENTINEL = b"4111-1111"


def breaks(code: Code) -> Callable[[Mutation], Mutation]:
    """Registers a mutation under what it breaks."""

    def register(mutation: Mutation) -> Mutation:
        MUTATIONS[mutation.__name__] = (code, mutation)
        return mutation

    return register


def changed(story: list[Envelope], kind: str, of: str | None = None, **fields: object) -> list[Envelope]:
    """With other fields in one payload (of one operation); nothing else of the journal is touched."""
    at = index_of(story, kind, of)
    return [*story[:at], rewritten(story[at], **fields), *story[at + 1 :]]


def with_operation(story: list[Envelope], at: int, pair: list[Record]) -> list[Envelope]:
    """With an opener and its closer before the record at index `at`."""
    opened, closed = spliced(story, at, insert=pair)[at : at + 2]
    linked = [opened, replace(closed, request_record_id=opened.record_id)]
    return chained([*story[:at], *linked, *story[at:]])
