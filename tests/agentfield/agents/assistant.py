"""Another agent of AgentField's SDK: it is asked, and has a session without a handler that could run."""

from typing import Any

from agentfield import Agent

app = Agent(node_id="assistant")


@app.reasoner()
async def shout(text: str) -> dict[str, Any]:
    count = await app.call("planner.word_count", text=text)
    return {"text": text.upper(), "words": count}


@app.skill(tags=["maths"])
def add(a: int, b: int) -> dict[str, int]:
    return {"sum": a + b}


@app.skill()
def breaks(text: str) -> None:
    raise RuntimeError(text)


@app.session(
    "voice",
    provider="openai",
    transport="websocket",
    tools=["assistant.add"],
    tags=["support:voice"],
    metadata={"instructions": "Be brief."},
)
async def voice(session: Any) -> None:
    """Never run by AgentField: its SDK has no way to be told of a session."""


@app.session("web", provider="openai", transport="webrtc", tools=["assistant.add"])
async def web(session: Any) -> None:
    """As the other, for browsers."""


if __name__ == "__main__":
    app.run()
