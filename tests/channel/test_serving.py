"""What a session does for a handler elsewhere, at the moments that nothing but chance hits."""

import asyncio
from typing import cast

from agentfield_rt.channel.message import Message
from agentfield_rt.channel.to_plane import CancelRequest, Input
from agentfield_rt.plane.channel.parcels import Parcels
from agentfield_rt.plane.channel.serving import Serving
from agentfield_rt.voice.link import SessionLink, Turn
from tests.virtual_time import in_virtual_time, time_passes


class GivesUpAsTheTurnComes:
    """A session whose next turn is there when its handler has just stopped waiting for it."""

    def __init__(self) -> None:
        self.serving: Serving
        self.turns = [Turn("turn_1", "where is my order")]

    async def next_turn(self) -> Turn:
        cancel = CancelRequest(handler_id="hand_1", request_id="req_1")
        asyncio.get_running_loop().call_soon(self.serving.cancel, cancel)
        return self.turns.pop()

    def give_back_turn(self) -> None:
        self.turns.append(Turn("turn_1", "where is my order"))


@in_virtual_time
async def test_a_turn_comes_back_whose_wait_ends_in_the_moment_in_which_it_is_given() -> None:
    link = GivesUpAsTheTurnComes()
    posted: list[Message] = []
    session = cast(SessionLink, link)
    link.serving = Serving("hand_1", session, posted.append, parcels=Parcels(posted.append))
    link.serving.ask(Input(handler_id="hand_1", request_id="req_1"))
    await time_passes(0.1)
    assert [turn.id for turn in link.turns] == ["turn_1"]
