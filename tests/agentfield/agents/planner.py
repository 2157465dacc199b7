"""An agent of AgentField's SDK that asks another one, and does what agents do wrong."""

import asyncio
import os
from pathlib import Path
from typing import Any

from agentfield import Agent

STARTED = Path(os.environ["TEST_STARTED"])
"""Written when `slow` runs, and again when it is told to stop: a test watches it."""

app = Agent(node_id="planner", version="1.2.3", tags=["team:a"])


@app.reasoner(tags=["plan"])
async def plan(topic: str) -> dict[str, Any]:
    """Asks the assistant, which asks back."""
    app.note(f"planning {topic}", ["progress"])
    said = await app.call("assistant.shout", text=topic)
    return {"topic": topic, "said": said}


@app.reasoner()
async def fails(text: str) -> dict[str, Any]:
    raise ValueError(f"cannot think about {text}")


@app.reasoner()
async def words(text: str) -> list[str]:
    return text.split()


@app.reasoner()
async def text(text: str) -> str:
    return text


@app.reasoner()
async def repeats(text: str, times: int) -> str:
    return text * times


@app.reasoner()
async def nothing() -> None:
    return None


def tell(word: str) -> None:
    STARTED.write_text(word)


@app.reasoner()
async def slow() -> dict[str, Any]:
    tell("running")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        tell("cancelled")
        raise
    return {}


@app.reasoner()
async def asks_first(request_id: str) -> dict[str, Any]:
    """Waits for somebody outside."""
    said = await app.pause(request_id, "https://people.example/1", expires_in_hours=1)
    return {"approved": said.approved, "feedback": said.feedback}


@app.reasoner()
async def relies(request_id: str) -> dict[str, Any]:
    return {"inner": await app.call("planner.asks_first", request_id=request_id)}


@app.reasoner()
async def remembers(key: str, value: str) -> dict[str, Any]:
    await app.memory.set(key, {"value": value})
    return {"found": await app.memory.get(key), "missing": await app.memory.get("no such key", "default")}


@app.reasoner()
async def remembers_everywhere(key: str) -> dict[str, Any]:
    """In each scope something else; then one of them forgets."""
    memory = app.memory
    scopes = {
        "workflow": memory.workflow("w1"),
        "session": memory.session("s1"),
        "actor": memory.actor("a1"),
        "global": memory.global_scope,
    }
    for name, scope in scopes.items():
        await scope.set(key, name)
    await scopes["actor"].delete(key)
    return {
        "found": {name: await scope.get(key, "nothing") for name, scope in scopes.items()},
        "keys": await scopes["session"].list_keys(),
    }


@app.reasoner()
async def finds_similar() -> list[str]:
    memory = app.memory
    await memory.set_vector("north", [0.0, 1.0], {"kind": "way"})
    await memory.set_vector("east", [1.0, 0.0], {"kind": "way"})
    await memory.set_vector("up", [0.0, 0.9], {"kind": "height"})
    await memory.delete_vector("up")
    found = await memory.similarity_search([0.1, 1.0], top_k=2, filters={"kind": "way"})
    return [each["key"] for each in found]


@app.reasoner()
async def watches(key: str) -> dict[str, Any]:
    """Told of a change over the SDK's websocket."""
    heard = asyncio.get_running_loop().create_future()
    memory = app.memory

    async def on_change(event: Any) -> None:
        if event.action == "delete" and not heard.done():
            heard.set_result({"scope": event.scope, "key": event.key, "previous": event.previous_data})

    memory.on_change(f"{key}*")(on_change)
    await memory.global_scope.set(key, 1)
    await memory.global_scope.delete(key)
    told: dict[str, Any] = await asyncio.wait_for(heard, 10)
    return told


@app.reasoner()
async def looks(tag: str) -> dict[str, Any]:
    whole = app.discover(tags=[tag], include_input_schema=True).json
    compact = app.discover(tags=[tag], format="compact").compact
    xml = app.discover(tags=[tag], format="xml").xml
    assert whole is not None and compact is not None and xml is not None
    (found,) = [skill for agent in whole.capabilities for skill in agent.skills]
    return {
        "target": found.invocation_target,
        "schema": found.input_schema,
        "compact": [each.target for each in compact.skills],
        "xml": xml,
        "called": await app.call(found.invocation_target, a=2, b=3),
    }


@app.skill()
def word_count(text: str) -> int:
    return len(text.split())


if __name__ == "__main__":
    app.run()
