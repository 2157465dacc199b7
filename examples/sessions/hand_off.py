"""A voice turn that becomes a workflow of several agents: retrieval → policy → approval → answer.

From AgentField's guide ("Hand off to a multi-agent workflow"), with the pipeline it speaks of written out as
a router. Changed: the import and the provider.
"""

# The documentation leaves most types out, so these files do.
# mypy: disable-error-code="no-untyped-def, type-arg, no-untyped-call"
# pyright: basic

from agentfield_rt import Agent, AgentRouter  # the guide: from agentfield import Agent

app = Agent(node_id="support")
orders = AgentRouter(prefix="orders", tags=["orders"])

ORDERS = {"1001": "stuck in customs", "1002": "delivered"}


@orders.skill
def find(text: str) -> dict:
    """Which order a text is about, and where that is."""
    number = next((number for number in ORDERS if number in text), None)
    return {"number": number, "status": ORDERS.get(number or "", "unknown")}


@orders.reasoner
async def may_be_replaced(order: dict) -> bool:
    """The policy: what is stuck may be sent again."""
    return bool(order["status"] == "stuck in customs")


@app.reasoner()
async def approve(order: dict) -> bool:
    """Stands for a person who is asked."""
    app.note(f"order {order['number']} is to be replaced", ["approval"])
    return True


@app.reasoner()
async def handle_turn(turn: dict) -> dict:
    order = await app.call("support.orders_find", text=turn["text"])
    if not await app.call("support.orders_may_be_replaced", order=order):
        return {"spoken_response": f"Order {order['number']} is {order['status']}."}
    if await app.call("support.approve", order=order):
        return {"spoken_response": f"Order {order['number']} is sent once more."}
    return {"spoken_response": "That needs a colleague of mine."}


app.include_router(orders)


@app.session("voice", provider="local", transport="websocket")  # the guide: openai
async def voice(session):
    async for turn in session.turns():
        result = await session.call("support.handle_turn", turn=turn)  # spawns a normal DAG
        await session.say(result["spoken_response"])


if __name__ == "__main__":
    app.run()
