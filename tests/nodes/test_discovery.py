"""Discovery: every filter, every form, and a name that can be called as it is written."""

from typing import Any
from xml.etree import ElementTree

import pytest

from agentfield_rt.plane.executions.dispatch import CapabilityKind
from agentfield_rt.plane.nodes import Capability, Lifecycle, Node
from agentfield_rt.plane.nodes.discovery import Included, Wanted, as_compact, as_json, discover
from agentfield_rt.plane.nodes.discovery_xml import as_xml
from tests.nodes.test_health import NoDispatcher

NOW = "2026-01-01T00:00:00Z"


def node(
    node_id: str, *capabilities: Capability, lifecycle: Lifecycle = Lifecycle.READY, **more: Any
) -> Node:
    return Node(
        node_id=node_id,
        version="1",
        instance_id="",
        base_url=f"http://{node_id}:8001",
        capabilities={each.name: each for each in capabilities},
        sessions={},
        dispatcher=NoDispatcher(),
        handlers=None,
        lifecycle=lifecycle,
        **more,
    )


def reasoner(name: str, *tags: str) -> Capability:
    return Capability(name=name, kind=CapabilityKind.REASONER, tags=tags, output_schema={"type": "object"})


def skill(name: str, *tags: str, description: str = "") -> Capability:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    return Capability(
        name=name, kind=CapabilityKind.SKILL, tags=tags, description=description, input_schema=schema
    )


NODES = (
    node(
        "writer", reasoner("draft", "text", "slow"), reasoner("redraft", "text"), skill("count", "text:tools")
    ),
    node("adder", skill("add", "maths", description="Adds <all>\x00.")),
    node("idle", lifecycle=Lifecycle.OFFLINE, tags=("spare",)),
)


def found(**wanted: Any) -> list[str]:
    return [
        offer["invocation_target"]
        for agent in whole(**wanted)["capabilities"]
        for offer in agent["reasoners"] + agent["skills"]
    ]


def whole(included: Included | None = None, **wanted: Any) -> dict[str, Any]:
    page = discover(NODES, Wanted(**wanted), discovered_at=NOW, heard={"adder": NOW})
    return as_json(page, included or Included())


@pytest.mark.parametrize(
    ("wanted", "targets"),
    [
        ({}, ["adder.add", "writer.draft", "writer.redraft", "writer.count"]),
        ({"node_ids": frozenset({"adder", "nobody"})}, ["adder.add"]),
        ({"reasoner": "draft"}, ["writer.draft"]),
        ({"reasoner": "*draft"}, ["writer.draft", "writer.redraft"]),
        ({"reasoner": "re*"}, ["writer.redraft"]),
        ({"reasoner": "*edra*"}, ["writer.redraft"]),
        ({"skill": "*"}, ["adder.add", "writer.count"]),
        ({"reasoner": "draft", "skill": "add"}, ["adder.add", "writer.draft"]),
        ({"tags": ("text",)}, ["writer.draft", "writer.redraft"]),
        ({"tags": ("text*",)}, ["writer.draft", "writer.redraft", "writer.count"]),
        ({"tags": ("text", "slow")}, ["writer.draft"]),
        ({"health_status": "offline"}, []),
        ({"limit": 1}, ["adder.add"]),
        ({"limit": 1, "offset": 2}, ["writer.draft", "writer.redraft", "writer.count"]),
    ],
)
def test_a_filter_leaves_what_it_says(wanted: dict[str, Any], targets: list[str]) -> None:
    assert found(**wanted) == targets


def test_totals_are_of_all_pages_and_a_page_says_whether_more_follow() -> None:
    first = whole(limit=2)
    assert (first["total_agents"], first["total_reasoners"], first["total_skills"]) == (3, 2, 2)
    assert first["pagination"] == {"limit": 2, "offset": 0, "has_more": True}
    assert whole(limit=2, offset=2)["pagination"]["has_more"] is False
    assert whole(tags=("spare",))["total_agents"] == 0, "a node with nothing to show is left out of a search"


def test_schemas_and_descriptions_are_written_for_whoever_asks() -> None:
    (short,) = whole(skill="add")["capabilities"]
    assert set(short["skills"][0]) == {"id", "tags", "invocation_target", "description"}
    assert (short["last_heartbeat"], short["health_status"]) == (NOW, "active")
    included = Included(descriptions=False, input_schemas=True, output_schemas=True)
    (writer,) = whole(included, node_ids=frozenset({"writer"}))["capabilities"]
    assert writer["reasoners"][0]["output_schema"] == {"type": "object"}
    assert "description" not in writer["skills"][0]
    assert "output_schema" not in writer["skills"][0]


def test_compact_says_what_can_be_called_and_no_more() -> None:
    compact = as_compact(discover(NODES, Wanted(), discovered_at=NOW, heard={}))
    assert compact["skills"][0] == {
        "id": "add", "agent_id": "adder", "target": "adder.add", "tags": ["maths"],
    }  # fmt: skip
    assert [each["target"] for each in compact["reasoners"]] == ["writer.draft", "writer.redraft"]


def test_xml_holds_the_same_whatever_agents_say_of_themselves() -> None:
    page = discover(NODES, Wanted(skill="*"), discovered_at=NOW, heard={})
    root = ElementTree.fromstring(as_xml(page, Included(input_schemas=True)))
    skills = root.findall("capabilities/agent/skills/skill")
    assert [each.get("target") for each in skills] == ["adder.add", "writer.count"]
    assert skills[0].findtext("description") == "Adds <all>."
    assert "integer" in (skills[0].findtext("input_schema") or "")
