"""A voice session inside a service, without HTTP: `python examples/runtime.py`."""

import asyncio

from agentfield_rt import Agent, RealtimeRuntime, RealtimeSession

app = Agent(node_id="desk")


@app.reasoner()
async def look_up(text: str) -> str:
    return f"You asked: {text}. I will find out."


@app.session("voice", provider="local", transport="websocket", tools=["look_up"])
async def voice(session: RealtimeSession) -> None:
    async for turn in session.turns():
        await session.say(await session.call("desk.look_up", text=turn.text))
        await session.close()


async def main() -> None:
    async with RealtimeRuntime([app]) as runtime, runtime.call("desk.voice") as call:
        await call.type("Where is order eight?")  # or what a microphone hears: await call.hear(pcm)
        spoken_bytes = 0
        async for pcm in call.sound():  # 24 kHz, mono, int16; None when the user cuts in
            spoken_bytes += len(pcm or b"")
        print(f"the agent spoke for {spoken_bytes / 48_000:.1f} s; the call is in {call.run_id}")
        print("it ended because:", await call.ended())


if __name__ == "__main__":
    asyncio.run(main())
