"""What `af execute` asks of a control plane: an execution, its end, its result."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from agentfield_rt.cli.connection import Connection, segment
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.http import Broken, PlaneClient
from agentfield_rt.cli.printing import stderr, write_result
from agentfield_rt.errors import Reason

_OPEN = frozenset({"queued", "running", "pending", "waiting"})
_AWAY = frozenset({"offline", "inactive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is to be run; headers without a value are left out."""

    target: str
    arguments: Mapping[str, Any]
    headers: Mapping[str, str]


def execute_and_print(connection: Connection, submission: Submission, *, wait: bool, as_json: bool) -> None:
    """Submit, wait if wanted, and write what came of it to stdout.

    Raises:
        Failure: it was refused, or did not succeed.
    """
    accepted = connection.ask(lambda plane: _submit(plane, submission))
    if not wait:
        write_result(accepted)
        return
    execution_id = accepted.get("execution_id")
    if not isinstance(execution_id, str):
        raise Failure(
            "execute failed: an answer without 'execution_id'; is a control plane there?", ExitCode.SERVER
        )
    with stderr().status(f"{submission.target} runs as {execution_id} …"):
        status = connection.ask(lambda plane: _ended(plane, execution_id, target=submission.target))
    if as_json:
        write_result(status)
    if status["status"] != "succeeded":
        is_input = status.get("status_reason") == Reason.INVALID_REQUEST
        why = status.get("error") or status.get("status_reason") or "no reason given"
        raise Failure(
            f"{submission.target} {status['status']}: {why} ({execution_id})",
            ExitCode.USER if is_input else ExitCode.SERVER,
        )
    if not as_json:
        write_result(status.get("result"))


async def _submit(plane: PlaneClient, submission: Submission) -> Any:
    headers = {name: value for name, value in submission.headers.items() if value}
    path = f"/api/v1/execute/async/{segment(submission.target)}"
    return await plane.post_json("execute", path, {"input": submission.arguments}, headers=headers)


async def _ended(plane: PlaneClient, execution_id: str, *, target: str) -> Any:
    """Its status once it has ended: its events say when, its status what."""
    path = f"/api/v1/executions/{segment(execution_id)}"
    is_new = True
    while (status := await plane.get_json("execute", path, holding="status"))["status"] in _OPEN:
        if is_new and status["status"] == "queued":
            await _tell_of_absence(plane, node_id=target.partition(".")[0])
        is_new = False
        try:
            async for _ in plane.events("execute", f"{path}/events"):
                pass  # the stream ends with the execution
        except Broken:
            continue
    return status


async def _tell_of_absence(plane: PlaneClient, *, node_id: str) -> None:
    """Say so where an agent is not there: its work waits for it, however long."""
    with contextlib.suppress(Failure):  # it is waited for all the same
        node = await plane.get_json("execute", f"/api/v1/nodes/{segment(node_id)}")
        if (health := node.get("health_status")) in _AWAY:
            stderr().print(
                f"{escape(node_id)} is {health}: this waits until it is back; Ctrl-C stops waiting"
            )
