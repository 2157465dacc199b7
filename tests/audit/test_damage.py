"""Records deleted, repeated, swapped, overwritten: the auditor sees it and never falls over."""

from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentfield_journal import Envelope, Privacy
from agentfield_rt.audit import audit
from agentfield_rt.core import records
from agentfield_rt.core.records import RECORD_TYPES
from tests.audit.story import CALL, chained, stored

STORY = stored(CALL, records.RunCompleted())
OF_OPERATIONS = [index for index, envelope in enumerate(STORY) if envelope.op_id is not None]
ENDS_NO_DOUBT = records.OutputDispatchReconciled.kind
"""Without it a delivery is in doubt for ever, which stops neither its call nor its run."""
places = st.integers(0, len(STORY) - 1)


def test_any_record_taken_out_put_in_again_or_exchanged_is_seen() -> None:
    for at in range(len(STORY) - 1):  # a journal cut at its end is only shorter; checkpoints see that
        assert audit([*STORY[:at], *STORY[at + 1 :]]).findings
        assert audit([*STORY[: at + 1], *STORY[at:]]).findings
    for one, other in combinations(range(len(STORY)), 2):
        swapped = list(STORY)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        assert audit(swapped).findings


@pytest.mark.parametrize("at", [at for at in OF_OPERATIONS if STORY[at].kind != ENDS_NO_DOUBT])
def test_an_operation_that_lost_a_record_is_seen_even_if_all_is_chained_anew(at: int) -> None:
    # Grants and completed deliveries are named by what came of them, all others by their other half.
    assert audit(chained([*STORY[:at], *STORY[at + 1 :]])).findings


@pytest.mark.parametrize("at", OF_OPERATIONS)
def test_an_operation_with_a_record_too_many_is_seen_even_if_all_is_chained_anew(at: int) -> None:
    twin = replace(STORY[at], record_id="twin")
    assert audit(chained([*STORY[: at + 1], twin, *STORY[at + 1 :]])).findings


@given(st.lists(places, max_size=8), st.lists(st.tuples(places, places), max_size=8))
def test_whatever_the_order_the_report_is_the_same_twice(
    deleted: list[int], swapped: list[tuple[int, int]]
) -> None:
    story = list(STORY)
    for one, other in swapped:
        story[one], story[other] = story[other], story[one]
    story = [envelope for index, envelope in enumerate(story) if index not in deleted]
    for journal in (story, chained(story)):
        assert audit(journal) == audit(journal)


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({name for record_type in RECORD_TYPES.values() for name in record_type.__struct_fields__})
ids = st.none() | st.text() | st.sampled_from(["o1", "o6", "sess_story", "1.1", "1.٣", "1." + "9" * 30])


@st.composite
def overwritten(draw: st.DrawFn) -> Envelope:
    """A record of the story with anything in some of its places."""
    envelope = STORY[draw(places)]
    data = msgspec.msgpack.decode(envelope.payload)
    data.update(draw(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), values, max_size=3)))
    raw = draw(st.none() | st.binary(max_size=16))
    return replace(
        envelope,
        kind=draw(st.sampled_from(sorted(RECORD_TYPES)) | st.text(max_size=20)),
        payload=msgspec.msgpack.encode(data) if raw is None else raw,
        record_id=draw(ids) or "",
        op_id=draw(ids),
        request_record_id=draw(ids),
        session_id=draw(ids),
        privacy=draw(st.sampled_from(Privacy)),
        content_refs=tuple(draw(st.lists(st.text(max_size=4), max_size=2))),
        epoch=draw(st.integers(0, 2**63)),
        fingerprint=draw(ids),
    )


@given(st.lists(st.tuples(places, overwritten()), min_size=1, max_size=6))
def test_no_record_makes_the_auditor_fall_over(changes: list[tuple[int, Envelope]]) -> None:
    story = list(STORY)
    for at, envelope in changes:
        story[at] = envelope
    for journal in (story, chained(story)):
        report = audit(journal, sentinels=[b"secret"])
        assert report == audit(journal, sentinels=[b"secret"])
        assert report.records == len(STORY)
