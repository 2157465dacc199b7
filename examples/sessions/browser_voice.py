"""AgentField's guide to realtime voice sessions, as it is written there, and it runs.

Changed: the import and the provider (the one on this machine, so no key is needed). As there, the function
answers one turn; it is run anew for the next.
"""

# The documentation leaves most types out, so these files do.
# mypy: disable-error-code="no-untyped-def, type-arg, no-untyped-call"
# pyright: basic

from agentfield_rt import Agent  # the guide: from agentfield import Agent

app = Agent(node_id="voice-support")


@app.reasoner()
async def resolve_turn(turn: dict) -> dict:
    # Normal AgentField reasoner — retrieval, policy, app.call, escalation, anything.
    return {
        "spoken_response": "I found the order. It's stuck in customs — want me to start a replacement?",
        "next_action": "offer_replacement",
    }


@app.session(
    "voice",
    provider="local",  # the guide: openai
    transport="webrtc",
    model="gpt-realtime-2",
    modalities=["audio", "text"],
    voice="marin",
    tools=["voice-support.resolve_turn"],  # provider-visible allowlist
    tags=["support:voice"],  # access-control tag
)
async def voice(session):
    turn = await session.input()  # next live turn from the provider
    result = await session.call("voice-support.resolve_turn", turn=turn)  # routes through the control plane
    await session.say(result["spoken_response"])  # speaks back over the same transport


if __name__ == "__main__":  # the guide runs it always; this module is also imported by a test
    app.run()
