"""The scene of most tests: reasoners, a tool that needs an approval, a handler that answers every turn."""

from collections.abc import Awaitable
from typing import Any

from agentfield_rt.agent import RealtimeSession
from agentfield_rt.approval_rules import ApprovalRule
from agentfield_rt.testing.scene import Desk, Function, Scene
from agentfield_rt.testing.virtual_time import time_passes
from tests.voice.throws import Throws

TOOLS = {"look_up": "node.look_up", "pay": "node.pay"}
PAYS = ApprovalRule("node.pay", expires_after_s=5.0)


async def look_up(**_: Any) -> str:
    await time_passes(0)
    return "found"


async def converses(session: RealtimeSession) -> None:
    """Answers every turn with what a reasoner finds."""
    async for turn in session.turns():
        await session.say(await session.call("node.look_up", text=turn.text))


def scene(function: Function | None = None, **more: Any) -> Scene:
    """A scene with reasoners and tools."""
    more = {"desk": Desk(look_up=look_up, pay=look_up), "tools": TOOLS, "approvals": (PAYS,), **more}
    return Scene(function, **more)


def broken(function: Function, throws: Throws) -> Function:
    """`function`, with something thrown into one of its awaits."""

    async def breaks(session: RealtimeSession) -> None:
        await throws.around(_as_coroutine(function(session)))

    return breaks


async def _as_coroutine(work: Awaitable[Any]) -> Any:
    return await work
