"""`af node` where an operator has to let agents in: who waits, who was denied, and the answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, af
from tests.plane.serving import Served, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data: Path = tmp_path_factory.mktemp("approving")
    with pytest.MonkeyPatch.context() as patch, served(data, patch, approve_nodes=True) as server:
        yield server


def node(server: Served, *arguments: str) -> Ran:
    return af("node", *arguments, AGENTFIELD_SERVER=server.url)


def register(server: Served, node_id: str) -> None:
    body = {"id": node_id, "base_url": "http://127.0.0.1:9", "version": "1"}
    assert server.post("/api/v1/nodes/register", body).status_code == 201


def row_of(node_id: str, listed: Ran) -> str:
    (row,) = (line for line in listed.out.splitlines() if line.startswith(f"{node_id} "))
    return row


def test_a_node_that_awaits_approval_is_listed_as_such_with_what_lets_it_in(server: Served) -> None:
    register(server, "newcomer")
    listed = node(server, "list")
    assert "awaits approval" in row_of("newcomer", listed)
    assert "af node approve newcomer" in listed.complaint
    as_json = node(server, "list", "--json")
    (shown,) = (each for each in as_json.json["nodes"] if each["id"] == "newcomer")
    assert shown["lifecycle_status"] == "pending_approval"
    assert "af node approve newcomer" in as_json.complaint
    assert node(server, "approve", "newcomer", "--by", "ada").json["status"] == "approved"
    listed = node(server, "list")
    assert "awaits" not in listed.out
    assert listed.err == ""


def test_a_node_that_was_denied_is_listed_as_such_until_it_is_approved(server: Served) -> None:
    register(server, "stranger")
    assert node(server, "deny", "stranger").json["status"] == "denied"
    listed = node(server, "list")
    assert "denied" in row_of("stranger", listed)
    assert "af node approve stranger" in listed.complaint
    assert node(server, "list", "--json").json["denied"] == ["stranger"]
    assert "stranger" not in node(server, "list", "--health", "active").out
    assert node(server, "approve", "stranger").code == 0
    assert "denied" not in node(server, "list").out


def test_a_node_that_nobody_knows_is_not_approved(server: Served) -> None:
    ran = node(server, "approve", "nobody")
    assert ran.code == 2
    assert "node approve failed with status 404" in ran.complaint
