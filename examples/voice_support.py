"""An order desk that takes calls: two reasoners and a session."""

from typing import Any

from agentfield_rt import Agent, RealtimeSession

app = Agent(node_id="voice-support")


@app.reasoner()
async def lookup_order(number: int) -> dict[str, Any]:
    """Where order `number` is."""
    return {"number": number, "status": "stuck in customs"}


@app.reasoner()
async def resolve_turn(turn: dict[str, Any]) -> dict[str, Any]:
    """Decide what to answer to a turn."""
    if not turn["understood"]:
        return {"spoken_response": "Sorry, I did not catch that."}
    order = await app.call("voice-support.lookup_order", number=4)
    return {"spoken_response": f"You said: {turn['text']}. Order four is {order['status']}."}


@app.session("voice", provider="local", transport="webrtc", tools=["voice-support.resolve_turn"], tags=["support:voice"])
@app.session("voice-websocket", provider="local", transport="websocket", tools=["voice-support.resolve_turn"])
async def voice(session: RealtimeSession) -> None:
    async for turn in session.turns():
        result = await session.call("voice-support.resolve_turn", turn=turn)
        await session.say(result["spoken_response"])


if __name__ == "__main__":
    app.run()
