"""An agent written with the published `agentfield` package; nothing in it knows of this control plane."""

from agentfield import Agent

app = Agent(node_id="worker")


@app.skill()
def add(a: int, b: int) -> int:
    return a + b


@app.reasoner()
async def total(numbers: list[int]) -> dict[str, int]:
    """Adds numbers up, each addition an execution of its own."""
    result = 0
    for number in numbers:
        result = await app.call("worker.add", a=result, b=number)
    return {"total": result}


if __name__ == "__main__":
    app.run()
