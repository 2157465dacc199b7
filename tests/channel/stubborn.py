"""An agent whose reasoner ignores that it is cancelled."""

import asyncio

from agentfield_rt import Agent

app = Agent(node_id="stubborn")


@app.reasoner
async def never_ends() -> None:
    print("begun", flush=True)  # noqa: T201
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("ignored", flush=True)  # noqa: T201


if __name__ == "__main__":
    app.run()
