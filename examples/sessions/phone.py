"""The same handler behind a websocket of the server's, for bridges where no browser is the client.

From AgentField's guide ("Swap one keyword and the same handler runs behind a websocket"), with what stood
there as `...` written out. Changed: the import and the provider.
"""

# The documentation leaves most types out, so these files do.
# mypy: disable-error-code="no-untyped-def, type-arg, no-untyped-call"
# pyright: basic

from agentfield_rt import Agent  # the guide: from agentfield import Agent

app = Agent(node_id="kiosk")


@app.reasoner()
async def resolve_turn(turn: dict) -> dict:
    return {"spoken_response": f"You said: {turn['text']}"}


@app.session("phone", provider="local", transport="websocket", model="gpt-realtime-2")  # the guide: openai
async def phone(session):
    turn = await session.input()
    result = await session.call("kiosk.resolve_turn", turn=turn)
    await session.say(result["spoken_response"])


if __name__ == "__main__":
    app.run()
