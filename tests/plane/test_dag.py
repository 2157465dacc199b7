"""The tree of a run: everything once, wherever it says that it was called from."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_rt.errors import CloseReason
from agentfield_rt.plane.catalogue.rows import ExecutionRow, SessionRow, TurnRow
from agentfield_rt.plane.workflows.dag import (
    DEPTH_DRAWN_MAX,
    Node,
    RunRows,
    Workflow,
    drawn,
    drawn_lightly,
    workflow,
)

SECOND_NS = 1_000_000_000


def execution(
    number: int, *, parent: str | None = None, status: str = "succeeded", **more: object
) -> ExecutionRow:
    fields: dict[str, object] = {
        "execution_id": f"exec_{number}",
        "run_id": "run",
        "seq": number,
        "node_id": "desk",
        "name": f"reasoner_{number}",
        "status": status,
        "parent_execution_id": parent,
        "queued_at_ns": number * SECOND_NS,
        "started_at_ns": number * SECOND_NS,
        "ended_at_ns": (number + 1) * SECOND_NS,
    }
    return ExecutionRow(**{**fields, **more})  # type: ignore[arg-type]


def session(*, close_reason: CloseReason | None = None) -> SessionRow:
    return SessionRow(
        session_id="sess",
        run_id="run",
        seq=1,
        target="desk.phone",
        provider="local",
        transport="webrtc",
        model=None,
        voice=None,
        modalities=(),
        tools=(),
        tags=(),
        owner=None,
        started_at_ns=0,
        ended_at_ns=None if close_reason is None else 99 * SECOND_NS,
        close_reason=close_reason,
    )


def turn(number: int, status: str = "succeeded") -> TurnRow:
    return TurnRow(
        turn_id=f"turn_{number}",
        run_id="run",
        seq=number,
        session_id="sess",
        status=status,
        reason=None,
        started_at_ns=number * SECOND_NS,
        ended_at_ns=(number + 1) * SECOND_NS,
    )


def tree(
    sessions: Sequence[SessionRow] = (),
    turns: Sequence[TurnRow] = (),
    executions: Sequence[ExecutionRow] = (),
    *,
    has_ended: bool = False,
) -> Workflow:
    rows = RunRows(run_id="run", has_ended=has_ended, sessions=sessions, turns=turns, executions=executions)
    found = workflow(rows)
    assert found is not None
    return found


def shape(node: Node) -> object:
    return {node.id: [shape(inner) for inner in node.inner]} if node.inner else node.id


def test_a_session_holds_turns_that_hold_reasoners_that_hold_their_calls() -> None:
    found = tree(
        [session()],
        [turn(1), turn(4)],
        [
            execution(2, turn_id="turn_1", session_id="sess"),
            execution(3, parent="exec_2", turn_id="turn_1", session_id="sess"),
            execution(5, turn_id="turn_4", session_id="sess"),
            execution(6, session_id="sess"),
        ],
    )
    assert shape(found.root) == {
        "sess": [{"turn_1": [{"exec_2": ["exec_3"]}]}, {"turn_4": ["exec_5"]}, "exec_6"]
    }
    assert (found.status, found.depth_max) == ("running", 3)


def test_whoever_was_called_by_nobody_known_hangs_below_what_is_known() -> None:
    found = tree(
        [],
        [],
        [execution(1, parent="phantom"), execution(2, parent="exec_1"), execution(3, parent="x")],
    )
    assert shape(found.root) == {"exec_1": ["exec_2", "exec_3"]}
    in_session = tree([session()], [turn(1)], [execution(2, parent="phantom", turn_id="turn_1")])
    assert shape(in_session.root) == {"sess": [{"turn_1": ["exec_2"]}]}


def test_the_first_without_a_caller_is_the_root_whenever_its_callees_became_known() -> None:
    found = tree([], [], [execution(1, parent="exec_2"), execution(2)])
    assert shape(found.root) == {"exec_2": ["exec_1"]}


@given(st.lists(st.integers(0, 14) | st.none(), min_size=1, max_size=12))
def test_every_node_is_drawn_once_whoever_it_names_as_its_caller(parents: list[int | None]) -> None:
    rows = [
        execution(number, parent=None if parent is None else f"exec_{parent}")
        for number, parent in enumerate(parents)
    ]
    found = tree([], [], rows)
    seen: list[str] = []
    waiting = [(found.root, 0)]
    while waiting:
        node, depth = waiting.pop()
        seen.append(node.id)
        assert node.depth == depth
        waiting += [(inner, depth + 1) for inner in node.inner]
    assert sorted(seen) == sorted(row.execution_id for row in rows)
    answer = msgspec.json.decode(msgspec.json.encode(drawn(found, notes={})))
    ids = {node["execution_id"] for node in answer["timeline"]}
    callers = [node.get("parent_execution_id") for node in answer["timeline"]]
    assert sum(caller is None or caller not in ids for caller in callers) <= 1
    assert answer["max_depth"] == max(node["workflow_depth"] for node in answer["timeline"])


def test_calls_that_go_deeper_than_anybody_reads_are_drawn_beside_each_other() -> None:
    total = 3 * DEPTH_DRAWN_MAX
    rows = [execution(number, parent=f"exec_{number - 1}" if number else None) for number in range(total)]
    found = tree([], [], rows)
    assert (found.depth_max, len(found.nodes)) == (DEPTH_DRAWN_MAX, total)
    assert len(msgspec.json.decode(msgspec.json.encode(drawn(found, notes={})))["timeline"]) == total


@pytest.mark.parametrize(
    ("statuses", "is_called"),
    [
        (["succeeded", "succeeded"], "succeeded"),
        (["succeeded", "failed"], "failed"),
        (["queued", "failed"], "running"),
        (["timeout", "cancelled"], "timeout"),
        (["cancelled", "succeeded"], "cancelled"),
    ],
)
def test_a_workflow_is_called_as_agentfield_calls_it(statuses: list[str], is_called: str) -> None:
    found = tree([], [], [execution(n, status=status) for n, status in enumerate(statuses)])
    assert found.status == is_called


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (None, "running"),
        (CloseReason.NORMAL, "succeeded"),
        (CloseReason.CALLER_GONE, "succeeded"),
        (CloseReason.PROVIDER_FAILURE, "failed"),
        (CloseReason.CANCEL, "cancelled"),
    ],
)
def test_a_session_is_a_node_with_the_status_of_its_end(reason: CloseReason | None, status: str) -> None:
    found = tree([session(close_reason=reason)], [], [])
    assert found.root.status == status


def test_what_is_not_known_is_left_out_as_agentfield_leaves_it_out() -> None:
    found = tree([], [], [execution(1, status="running", ended_at_ns=None)])
    note: dict[str, Any] = {"message": "m", "tags": [], "timestamp": "t"}
    answer = drawn(found, notes={"exec_1": [note]})
    assert answer["dag"] == {
        "workflow_id": "run",
        "execution_id": "exec_1",
        "agent_node_id": "desk",
        "reasoner_id": "reasoner_1",
        "status": "running",
        "started_at": "1970-01-01T00:00:01Z",
        "workflow_depth": 0,
        "children": [],
        "notes": [note],
        "notes_count": 1,
        "latest_note": note,
    }
    assert set(answer) == {
        "root_workflow_id", "workflow_status", "workflow_name", "total_nodes", "max_depth", "dag", "timeline"
    }  # fmt: skip
    light = drawn_lightly(found)
    assert (light["mode"], "dag" in light, light["unique_agent_node_ids"]) == ("lightweight", False, ["desk"])
    assert "children" not in light["timeline"][0]


def test_where_nothing_ran_there_is_no_workflow() -> None:
    assert workflow(RunRows(run_id="run", has_ended=False)) is None


def test_what_an_agent_left_unfinished_does_not_keep_an_ended_run_running() -> None:
    rows = [execution(1), execution(2, parent="exec_1", status="running", is_reported=True, ended_at_ns=None)]
    assert tree(executions=rows).status == "running"
    assert tree(executions=rows, has_ended=True).status == "succeeded"
