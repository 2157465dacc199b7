"""Dictation: what is said becomes a document that survives the call, the handler and its process.

After AgentField's example `voice_dictation`, whose browser page is the one the server has at `/`. Changed:
the import, the provider, and that the notes are kept in `session.state` instead of in the page.
"""

# The documentation leaves most types out, so these files do.
# mypy: disable-error-code="no-untyped-def, type-arg, no-untyped-call"
# pyright: basic

from agentfield_rt import Agent, RealtimeSession  # the example: from agentfield import Agent

app = Agent(node_id="voice-dictation")


@app.reasoner()
async def tidy(text: str) -> str:
    """A sentence as it is written: a capital first, a full stop last."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


@app.skill()
def counted(lines: list[str]) -> str:
    return f"{len(lines)} {'line' if len(lines) == 1 else 'lines'}"


@app.session("dictation", provider="local", transport="websocket", tags=["dictation"])
async def dictation(session: RealtimeSession):
    async for turn in session.turns():
        lines: list[str] = session.state.setdefault("lines", [])
        match turn.text.lower().strip(" ."):
            case "read it back":
                await session.say(" ".join(lines) or "There is nothing yet.")
            case "scratch that":
                session.say("Gone." if lines and lines.pop() else "There is nothing yet.")
            case "how much is it":
                session.say(await session.call("voice-dictation.counted", lines=lines))
            case _:
                lines.append(await session.call("voice-dictation.tidy", text=turn.text))
                session.say("Noted.")


if __name__ == "__main__":
    app.run()
