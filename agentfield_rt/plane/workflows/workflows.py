"""Workflows as people look at them: the tree of a run, the rows of a list, all of it from the catalogue.

What is long to draw is drawn in a thread; the loop only hands bytes on.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from agentfield_journal import ContentGone, ContentStore
from agentfield_rt.plane.catalogue.catalogue import Catalogue
from agentfield_rt.plane.catalogue.listing import OF_WORKFLOW
from agentfield_rt.plane.catalogue.projection import Projection
from agentfield_rt.plane.catalogue.rows import (
    ExecutionRow,
    NoteRow,
    RunRow,
    RunTotals,
    SessionRow,
    TurnRow,
)
from agentfield_rt.plane.notation import iso_ns, workflow_id_of
from agentfield_rt.plane.workflows.dag import RunRows, Workflow, drawn, drawn_lightly, duration_ms, workflow

NODES_MAX = 10_000
"""Executions and turns of a run that are drawn: the first of each."""

NODES_OF_ROW_MAX = 1_000
"""Of them, how many a row of a list looks at for its depth and status."""

NOTES_MAX = 200
"""Notes that are shown with one workflow: the last."""

RUNS_OF_SESSION_MAX = 100


class Workflows:
    """Answers what ran, and for whom."""

    def __init__(self, catalogue: Catalogue, content: ContentStore) -> None:
        self._catalogue = catalogue
        self._content = content

    async def dag(self, run_id: str, *, light: bool) -> bytes | None:
        """The workflow of a run as JSON in AgentField's shape; None when nothing ran in it.

        What was submitted to it after its end is in it, too.

        Args:
            light: Without the tree and the notes, in AgentField's words `mode=lightweight`.
        """
        found = await self._catalogue.read(lambda db: _workflow(db, run_id, NODES_MAX, within=OF_WORKFLOW))
        if found is None:
            return None
        if light:
            return await asyncio.to_thread(lambda: msgspec.json.encode(drawn_lightly(found)))
        noted = await self._notes(run_id)
        return await asyncio.to_thread(lambda: msgspec.json.encode(drawn(found, notes=noted)))

    async def of_session(self, session_id: str) -> bytes:
        """The workflows of a session as JSON: its own run, and runs in which somebody only named it."""
        clause = (
            "runs WHERE session_id = :it OR run_id IN (SELECT run_id FROM executions WHERE session_id = :it)"
            f" ORDER BY started_at_ns LIMIT {RUNS_OF_SESSION_MAX}"
        )

        def collect(db: Projection) -> list[Workflow]:
            run_ids = [row.run_id for row in db.select(RunRow, clause, {"it": session_id})]
            return [found for run_id in run_ids if (found := _workflow(db, run_id, NODES_OF_ROW_MAX))]

        workflows = await self._catalogue.read(collect)

        def draw() -> bytes:
            roots = [drawn(each, notes={})["dag"] for each in workflows]
            actors = (each.actor_id for each in workflows if each.actor_id is not None)
            answer = {"session_id": session_id, "actor_id": next(actors, None), "total_workflows": len(roots)}
            return msgspec.json.encode(answer | {"root_workflows": roots, "all_workflows": roots})

        return await asyncio.to_thread(draw)

    async def rows(self, runs: Iterable[RunRow]) -> list[dict[str, Any]]:
        """Runs as rows of AgentField's workflow list."""
        wanted = list(runs)
        return await self._catalogue.read(lambda db: [_row(db, run) for run in wanted])

    async def _notes(self, run_id: str) -> dict[str, list[dict[str, Any]]]:
        clause = f"notes WHERE {OF_WORKFLOW} ORDER BY at_ns DESC, seq DESC LIMIT {NOTES_MAX}"
        rows = await self._catalogue.read(lambda db: db.select(NoteRow, clause, {"run_id": run_id}))
        found: dict[str, list[dict[str, Any]]] = {}
        for row in reversed(rows):
            found.setdefault(row.execution_id, []).append(await self.note(row))
        return found

    async def note(self, row: NoteRow) -> dict[str, Any]:
        """What was noted; without its words when they were erased."""
        try:
            note: dict[str, Any] = msgspec.json.decode(await self._content.get(row.note_ref))
        except ContentGone:
            note = {"message": "", "tags": []}
        return {**note, "timestamp": iso_ns(row.at_ns)}


def _workflow(
    db: Projection, run_id: str, nodes_max: int, *, within: str = "run_id = :run_id"
) -> Workflow | None:
    among, run = f"WHERE {within} ORDER BY run_id, seq LIMIT {nodes_max}", {"run_id": run_id}
    runs = db.select(RunRow, f"runs WHERE {within} LIMIT {nodes_max}", run)
    rows = RunRows(
        run_id=run_id,
        has_ended=bool(runs) and all(each.ended_at_ns is not None for each in runs),
        sessions=db.select(SessionRow, f"sessions {among}", run),
        turns=db.select(TurnRow, f"turns {among}", run),
        executions=db.select(ExecutionRow, f"executions {among}", run),
    )
    return workflow(rows)


def _row(db: Projection, run: RunRow) -> dict[str, Any]:
    found = _workflow(db, run.run_id, NODES_OF_ROW_MAX)
    counted = db.select(RunTotals, "run_totals WHERE run_id = ?", (run.run_id,))
    totals = counted[0] if counted else None
    workflow_id = workflow_id_of(run.run_id)
    return {
        "workflow_id": run.run_id,
        "workflow_name": found.root.name if found else None,
        "workflow_tags": [],
        "session_id": run.session_id or (found.root.session_id if found else None),
        "actor_id": totals.actor_id if totals else None,
        "parent_workflow_id": None if workflow_id == run.run_id else workflow_id,
        "root_workflow_id": workflow_id,
        "workflow_depth": 0,
        "depth": found.depth_max if found else 0,
        "total_executions": totals.executions_total if totals else 0,
        "successful_executions": totals.succeeded_total if totals else 0,
        "failed_executions": totals.failed_total if totals else 0,
        "status": found.status if found else "running",
        "started_at": iso_ns(run.started_at_ns),
        "completed_at": iso_ns(run.ended_at_ns),
        "total_duration_ms": duration_ms(run.started_at_ns, run.ended_at_ns),
        "created_at": iso_ns(run.started_at_ns),
        "updated_at": iso_ns(run.changed_at_ns),
    }
