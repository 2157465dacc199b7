"""The gate: what each policy does with a frame that comes while nothing may reach the provider."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_rt.core import commands, records
from agentfield_rt.core.decide import decide
from agentfield_rt.core.evolve import evolve, replay
from agentfield_rt.core.records import GatePolicy, Limits
from agentfield_rt.core.state import State
from agentfield_rt.errors import GateOverflow, IllegalCommand, Reason, ReplayMismatch, RestartBudgetSpent
from agentfield_rt.frames import Media
from tests.core.situations import SESSION_ID, fold

HIGH, LOW = 4, 2


def gated(policy: GatePolicy, media: Iterable[Media] = (), restarts_max: int = 16) -> State:
    """A session in a restart, with limits of a few frames, behind whose gate `media` wait already."""
    limits = Limits(policy=policy, high_water=HIGH, low_water=LOW, restarts_max=restarts_max)
    state = replay(
        SESSION_ID,
        [
            records.ConnectRequested(op_id="o1", limits=limits),
            records.Connected(op_id="o1", connection_id="c1"),
            records.RestartRequested(reason=Reason.CONNECTION_LOST),
            records.RestartStarted(op_id="o2"),
        ],
    )
    for number, kind in enumerate(media):
        state = fold(state, decide(state, commands.Send(f"g{number}", kind, 960)))
    return state


def newcomer(media: Media = Media.AUDIO) -> commands.Send:
    return commands.Send("new", media, 960)


@pytest.mark.parametrize("policy", [GatePolicy.GATE, GatePolicy.BLOCK])
def test_a_full_gate_refuses_until_it_is_down_at_its_low_water(policy: GatePolicy) -> None:
    state = gated(policy, [Media.AUDIO] * HIGH)
    state = fold(state, (records.RestartCompleted(op_id="o2", connection_id="c2"),))
    for left in range(HIGH, LOW, -1):
        assert len(state.gated) == left
        with pytest.raises(GateOverflow):
            decide(state, newcomer())
        state = fold(state, (records.BackpressureReleased(frame_id=state.gated[0].frame_id),))
    assert decide(state, newcomer())[0].kind == "realtime_backpressure_applied"


def test_the_oldest_audio_makes_room_and_nothing_else_does() -> None:
    state = gated(GatePolicy.DROP_OLDEST_MEDIA, [Media.TEXT, Media.AUDIO, Media.AUDIO, Media.TEXT])
    dropped, applied = decide(state, newcomer(Media.TEXT))
    assert dropped == records.InputDropped(frame_id="g1", reason=Reason.OVERFLOW)
    state = fold(state, (dropped, applied))
    assert [frame.frame_id for frame in state.gated] == ["g0", "g2", "g3", "new"]
    with pytest.raises(GateOverflow, match="none of them audio"):
        decide(gated(GatePolicy.DROP_OLDEST_MEDIA, [Media.TEXT] * HIGH), newcomer())


def test_where_frames_may_not_wait_they_are_refused_and_nothing_is_written() -> None:
    with pytest.raises(GateOverflow, match="no frame of this session waits"):
        decide(gated(GatePolicy.FAIL_SEND), newcomer())


def test_a_journal_with_more_waiting_frames_than_its_limits_is_refused() -> None:
    state = gated(GatePolicy.GATE, [Media.AUDIO] * HIGH)
    applied = records.BackpressureApplied(
        frame_id="new", media=Media.AUDIO, size_bytes=1, action=records.GateAction.GATE
    )
    with pytest.raises(ReplayMismatch, match="full"):
        evolve(state, applied)


@given(
    st.sampled_from(GatePolicy),
    st.lists(st.sampled_from(["audio", "text", "release", "restart"]), max_size=40),
)
def test_no_more_frames_wait_than_may_and_each_has_one_fate_in_order(
    policy: GatePolicy, steps: list[str]
) -> None:
    state = gated(policy, restarts_max=1000)
    came: list[str] = []
    released: list[str] = []
    dropped: list[str] = []
    for number, step in enumerate(steps):
        match step:
            case "release":
                state = _reopened(state)
                decided = decide(state, commands.Release())[:1]
            case "restart":
                decided = () if state.phase == "restarting" else decide(state, _RESTART)
            case _ if state.phase == "restarting" or state.gated:
                try:
                    decided = decide(state, commands.Send(f"f{number}", Media(step), 960))
                except GateOverflow:
                    continue
            case _:
                continue
        state = fold(state, decided)
        came += [r.frame_id for r in decided if isinstance(r, records.BackpressureApplied)]
        released += [r.frame_id for r in decided if isinstance(r, records.BackpressureReleased)]
        dropped += [r.frame_id for r in decided if isinstance(r, records.InputDropped)]
        assert len(state.gated) <= HIGH
    waiting = [frame.frame_id for frame in state.gated]
    assert sorted(released + dropped + waiting) == sorted(came)
    assert released + waiting == [frame for frame in came if frame not in dropped]
    assert state.gated_total == len(state.gated) + state.released_total + state.dropped_total


_RESTART = commands.Restart(Reason.CONNECTION_LOST)


def _reopened(state: State) -> State:
    for op_id in state.open_operations:
        state = fold(state, (records.RestartCompleted(op_id=op_id, connection_id=f"c-{op_id}"),))
    return state


def test_a_session_replaces_its_connection_only_so_often() -> None:
    state = gated(GatePolicy.GATE, restarts_max=2)
    state = fold(state, (records.RestartFailed(op_id="o2", reason=Reason.UNAVAILABLE),))
    state = fold(state, decide(state, _RESTART))
    (op_id,) = state.open_operations
    state = fold(state, (records.RestartCompleted(op_id=op_id, connection_id="c2"),))
    with pytest.raises(RestartBudgetSpent, match="2 times"):
        decide(state, _RESTART)
    assert issubclass(RestartBudgetSpent, IllegalCommand)
