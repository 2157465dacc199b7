"""The strategies: what they make is valid, and reaches what a test wants to reach."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agentfield_journal import Envelope
from agentfield_rt.audit import audit
from agentfield_rt.core.evolve import replay
from agentfield_rt.core.lifecycle import CLOSES, OPENS, TERMINAL, TRANSITIONS
from agentfield_rt.core.records import Record
from agentfield_rt.frames import InputFrame, ProviderEvent, ResponseEnded, ResponseStarted
from agentfield_rt.run import realtime_records
from agentfield_rt.testing.strategies import frames, histories, journals, provider_events, responses


@settings(max_examples=60)
@given(histories())
def test_a_history_can_be_folded(history: tuple[Record, ...]) -> None:
    replay("session-1", history)


@settings(max_examples=60)
@given(histories(ended=True))
def test_a_session_that_has_ended_left_nothing_open(history: tuple[Record, ...]) -> None:
    state = replay("session-1", history)
    assert state.phase in TERMINAL
    assert not state.open_operations
    opened = sorted(str(getattr(record, "op_id")) for record in history if type(record) in OPENS)  # noqa: B009
    closed = sorted(str(getattr(record, "op_id")) for record in history if type(record) in CLOSES)  # noqa: B009
    assert opened == closed


@settings(max_examples=40)
@given(journals())
def test_a_journal_passes_the_audit(envelopes: list[Envelope]) -> None:
    assert [finding.problem for finding in audit(envelopes).findings] == []


@settings(max_examples=30)
@given(journals())
def test_a_journal_holds_every_session_whole(envelopes: list[Envelope]) -> None:
    assert [envelope.seq for envelope in envelopes] == list(range(1, len(envelopes) + 1))
    for session_id in {envelope.session_id for envelope in envelopes}:
        assert session_id is not None
        replay(session_id, realtime_records(envelopes, session_id))


def test_every_kind_of_record_of_a_session_is_reached() -> None:
    seen: set[str] = set()

    @settings(max_examples=700, phases=[Phase.generate], database=None, derandomize=True)
    @given(histories())
    def collect(history: tuple[Record, ...]) -> None:
        seen.update(record.kind for record in history)

    collect()
    assert {record_type.kind for record_type in TRANSITIONS} - seen == set()


@given(responses())
def test_an_answer_is_started_and_ended_once(events: list[ProviderEvent]) -> None:
    assert isinstance(events[0], ResponseStarted)
    assert isinstance(events[-1], ResponseEnded)
    assert sum(isinstance(event, ResponseStarted | ResponseEnded) for event in events) == 2


@given(st.lists(frames() | provider_events()))
def test_frames_and_events_are_plain_values(made: list[InputFrame | ProviderEvent]) -> None:
    assert made == list(made)
    assert all(frame.size_bytes >= 0 for frame in made if isinstance(frame, InputFrame))
