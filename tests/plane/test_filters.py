"""A filter of a word that no row can have is refused with the words that can be, not answered by nothing."""

from typing import Any

import pytest

from agentfield_rt.cli.node_commands import Health
from agentfield_rt.plane.nodes.health import HealthStatus
from tests.plane.serving import Served


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("nodes?health_status=silly", 400, "'active', 'starting', 'degraded', 'inactive' or 'offline'"),
        ("discovery/capabilities?health_status=silly", 400, "'active', 'starting', 'degraded'"),
        ("discovery/capabilities?format=silly", 400, "'json', 'compact' or 'xml'"),
        ("session-instances?status=silly", 400, "'live' or 'ended'"),
        ("session-instances?target=silly", 400, "<node>.<session>"),
        ("approvals?session_id=silly", 404, "session 'silly' not found"),
        ("memory/list?scope=silly", 400, "'workflow', 'session', 'actor' or 'global'"),
    ],
)
def test_a_filter_that_no_row_can_meet_is_refused_with_what_would_work(
    server: Served, path: str, status: int, says: str
) -> None:
    answer = server.get(f"/api/v1/{path}")
    assert answer.status_code == status
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    ("resource", "filters", "says"),
    [
        ("executions", {"status": "silly"}, "queued, running, succeeded, failed, cancelled, timeout"),
        ("runs", {"status": "succeeded"}, "open, completed, failed, cancelled"),
        ("workflows", {"status": "silly"}, "open, completed, failed, cancelled"),
        ("sessions", {"status": "live"}, "cannot be filtered by status"),
        ("agents", {"session_id": "sess_1"}, "cannot be filtered by session_id"),
    ],
)
def test_so_is_one_of_the_query_for_everything(
    server: Served, resource: str, filters: dict[str, Any], says: str
) -> None:
    answer = server.post("/api/v1/agentic/query", {"resource": resource, "filters": filters})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "unsupported_filter"
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize("health", ["active", "ACTIVE", ""])
def test_discovery_compares_health_as_agentfield_does(server: Served, health: str) -> None:
    found = server.get(f"/api/v1/discovery/capabilities?health_status={health}").json()
    assert found["total_agents"] == 1


def test_the_command_line_knows_every_health_there_is() -> None:
    assert [*map(str, Health)] == [*map(str, HealthStatus)]
