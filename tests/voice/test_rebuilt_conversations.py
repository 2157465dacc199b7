"""After any loss the new connection is told what was said: all of it, once, as the caller heard it."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

import random
from collections.abc import Callable, Container
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from agentfield_adapters.openai import replay
from agentfield_adapters.openai.client_events import ItemCreate
from agentfield_adapters.scripted import ScriptedAdapter
from agentfield_rt import history
from agentfield_rt.controller import Backoff, BoundarySettings
from agentfield_rt.core import conversation, records
from agentfield_rt.core.conversation import Conversation
from agentfield_rt.frames import ToolCalled
from agentfield_rt.idle import Recent
from agentfield_rt.items import History, ToolCallItem, ToolOutputItem
from agentfield_rt.ports import Connection, ConnectRequest
from agentfield_rt.testing import run
from agentfield_rt.voice.heard import HeardText
from agentfield_rt.voice.tools import ToolCalls
from agentfield_rt.voice.utterance import Utterance
from tests.planting import Bug, Bugs
from tests.voice import rebuilding
from tests.voice.call import Desk, voice_call
from tests.voice.rebuilding import Ear, Script, answers, repeats

CONVERSATIONS = 1_000
CONVERSATIONS_TO_FIND_A_BUG = 60
AT_ONCE = BoundarySettings(backoff=lambda: Backoff(first_s=0.0))


async def play(seed: int) -> int:
    ear, desk = Ear(), Desk(look_up=lambda call: "found")
    tools = {"look_up": "node.look_up"}
    async with voice_call(
        repeats, answer=answers, tools=tools, desk=desk, listener=ear, settings=AT_ONCE
    ) as call:
        script = Script(call, ear, random.Random(seed), desk)
        await script.play(acts=2)
        return script.rebuilt


def play_all(seeds: int) -> int:
    rebuilt = 0
    for seed in range(seeds):
        try:
            rebuilt += run(play(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    return rebuilt


def test_of_a_thousand_random_conversations_nothing_is_lost_and_nothing_repeated() -> None:
    assert play_all(CONVERSATIONS) > 2 * CONVERSATIONS


PLANTED = Bugs(seen_by=partial(play_all, CONVERSATIONS_TO_FIND_A_BUG))
planted = PLANTED.planted


@planted("what was received is told, and not what was heard")
def received_is_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HeardText, "until", lambda self, heard_ms: self.whole)


@planted("what broke off is said again from its beginning")
def said_again(patch: pytest.MonkeyPatch) -> None:
    original = Utterance.take_up

    def take_up(self: Utterance, heard_ms: int) -> None:
        original(self, heard_ms)
        self.rest = None

    patch.setattr(Utterance, "take_up", take_up)


@planted("the outputs of tools are not told")
def no_outputs(patch: pytest.MonkeyPatch) -> None:
    def item_events(history: History, event_id: Callable[[], str]) -> list[ItemCreate]:
        items = (item for item in history.items if not isinstance(item, ToolOutputItem))
        return [replay.item_event(item, event_id()) for item in items]

    patch.setattr(rebuilding, "item_events", item_events)


@planted("a call whose output is still to come is told as cancelled")
def pending_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ToolCalls, "pending", frozenset[str]())


@planted("a tool that runs is run again for the new connection")
def tool_run_twice(patch: pytest.MonkeyPatch) -> None:
    original = ScriptedAdapter.restart

    async def restart(self: ScriptedAdapter, request: ConnectRequest) -> Connection:
        connection = await original(self, request)
        items = request.history.items if request.history is not None else ()
        returned = {item.call_id for item in items if isinstance(item, ToolOutputItem)}
        for item in items:
            if isinstance(item, ToolCallItem) and item.call_id not in returned:
                self.give(ToolCalled("resp_again", item.call_id, item.name, item.arguments))
        return connection

    patch.setattr(ScriptedAdapter, "restart", restart)
    patch.setattr(Recent, "__contains__", lambda self, each_id: False)


@planted("an answer is asked for that nobody owes")
def asked_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(history, "_is_owed", lambda owed, last, *, answers_turns: True)


@planted("words that a tool was called with are taken for the answer to what it returned")
def preamble_answers(patch: pytest.MonkeyPatch) -> None:
    steps: dict[Any, Any] = dict(conversation._STEPS)  # pyright: ignore[reportPrivateUsage]
    original = steps[records.ToolCallReceived]

    def called(said: Conversation, record: records.ToolCallReceived) -> Conversation:
        told: Conversation = original(said, replace(record, response_id=None))
        return told

    patch.setattr(conversation, "_STEPS", {**steps, records.ToolCallReceived: called})


@planted("the newest item is left out")
def newest_left_out(patch: pytest.MonkeyPatch) -> None:
    original = history.history_of

    def history_of(
        said: object, texts: object, *, pending: Container[str] = (), answers_turns: bool = False
    ) -> History:
        told = original(said, texts, pending=pending, answers_turns=answers_turns)  # type: ignore[arg-type]
        return History(items=told.items[:-1], left_out=told.left_out, answer_owed=told.answer_owed)

    patch.setattr(history, "history_of", history_of)


@pytest.mark.parametrize("bug", PLANTED, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.must_be_noticed(monkeypatch, AssertionError)
