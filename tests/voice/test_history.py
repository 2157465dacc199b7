"""What a new connection is told of a conversation: within its bounds, and nothing that would be refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_journal import QueuedContentStore
from agentfield_journal.content.store import MemoryContent
from agentfield_journal.envelope import Retention
from agentfield_rt.core import records
from agentfield_rt.core.conversation import By, Conversation, Owed, Said
from agentfield_rt.core.records import TurnSource
from agentfield_rt.history import (
    CANCELLED,
    GO_ON,
    HISTORY_BYTES_MAX,
    call_content,
    history_of,
    read_history,
)
from agentfield_rt.items import AssistantItem, NoteItem, ToolCallItem, ToolOutputItem, UserItem

CALL = call_content("look_up", '{"a":1}')
TEXTS = {"ref.u": "hello", "ref.a": "good morning", "ref.c": CALL, "ref.o": '"found"'}
USER, HEARD = Said(By.USER, "t1", "ref.u"), Said(By.ASSISTANT, "u1", "ref.a")
CALLED, RETURNED = Said(By.CALL, "c1", "ref.c"), Said(By.OUTPUT, "c1", "ref.o")


def test_each_item_has_the_id_under_which_it_was_said() -> None:
    told = history_of(Conversation(said=(USER, CALLED, RETURNED, HEARD)), TEXTS)
    assert told.items == (
        UserItem("t1", "hello"),
        ToolCallItem("call_c1", "c1", "look_up", '{"a":1}'),
        ToolOutputItem("tool_c1", "c1", '"found"'),
        AssistantItem("u1", "good morning"),
    )
    assert (told.left_out, told.answer_owed) == (0, False)


@pytest.mark.parametrize(("pending", "outputs"), [(("c1",), []), ((), [CANCELLED])], ids=["runs", "is gone"])
def test_a_call_that_will_not_return_is_told_as_cancelled_and_one_that_runs_is_waited_for(
    pending: tuple[str, ...], outputs: list[str]
) -> None:
    told = history_of(Conversation(said=(USER, CALLED)), TEXTS, pending=pending)
    assert [item.output for item in told.items if isinstance(item, ToolOutputItem)] == outputs
    assert told.answer_owed is not bool(pending), "the model answers once every call has its output"


def test_an_output_whose_call_is_not_told_is_left_out() -> None:
    told = history_of(Conversation(said=(RETURNED, USER)), TEXTS)
    assert told.items == (UserItem("t1", "hello"),)
    assert told.left_out == 1


@pytest.mark.parametrize(
    ("owed", "answers_turns", "expected"),
    [(Owed.TURN, True, True), (Owed.TURN, False, False), (Owed.OUTPUT, False, True), (None, True, False)],
    ids=["by itself", "by a handler", "after a tool", "nothing"],
)
def test_an_answer_is_owed_where_the_model_gives_it_by_itself(
    owed: Owed | None, answers_turns: bool, expected: bool
) -> None:
    conversation = Conversation(said=(USER,), owed=owed)
    assert history_of(conversation, TEXTS, answers_turns=answers_turns).answer_owed is expected


def test_the_model_is_told_to_go_on_from_where_it_broke_off() -> None:
    told = history_of(Conversation(said=(USER, HEARD), owed=Owed.REST), TEXTS)
    assert told.items[-1] == NoteItem("note_u1", GO_ON)
    assert told.answer_owed


@given(st.lists(st.integers(0, HISTORY_BYTES_MAX * 2), min_size=1, max_size=8))
def test_the_newest_is_told_and_of_the_rest_as_much_as_may_be(sizes: list[int]) -> None:
    texts = {f"ref.{at}": "x" * size for at, size in enumerate(sizes)}
    conversation = Conversation(said=tuple(Said(By.USER, f"t{at}", f"ref.{at}") for at in range(len(sizes))))
    told = history_of(conversation, texts)
    count = len(told.items)
    assert [item.item_id for item in told.items] == [f"t{at}" for at in range(len(sizes))][-count:]
    assert count + told.left_out == len(sizes)
    assert count == 1 or sum(sizes[-count:]) <= HISTORY_BYTES_MAX
    assert count == len(sizes) or sum(sizes[-count - 1 :]) > HISTORY_BYTES_MAX


@pytest.mark.asyncio
async def test_of_what_was_erased_nothing_is_told() -> None:
    content = QueuedContentStore(MemoryContent())
    kept = content.put(b"hello", subject="s1", retention=Retention.SESSION)
    history = [
        records.TurnStarted(op_id=op_id, source=TurnSource.TEXT, understood=True, text_ref=ref)
        for op_id, ref in (("t1", "content.gone"), ("t2", kept))
    ]
    told = await read_history(history, content)
    assert told.items == (UserItem("t2", "hello"),)
    assert told.left_out == 1
    await content.close()
