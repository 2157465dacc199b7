"""What could not be read again is refused before anything is taken."""

from typing import Any, cast

import msgspec
import pytest

from agentfield_journal import open_journal
from agentfield_journal.testing import make_draft


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "field",
    [
        {"record_id": 5},
        {"kind": None},
        {"at_ns": "yesterday"},
        {"at_ns": 1.5},
        {"at_ns": 10**30},
        {"payload": "{}"},
        {"version": "1"},
        {"op_id": {}},
        {"op_id": 5},
        {"op_id": 0},
        {"request_record_id": b"record-1"},
        {"agent_id": ()},
        {"session_id": False},
        {"turn_id": 1.0},
        {"fingerprint": ["f"]},
        {"causal_refs": "record-1"},
        {"causal_refs": ("record-1", None)},
        {"content_refs": None},
        {"content_refs": [3]},
        {"privacy": "open to all"},
        {"privacy": None},
        {"retention": "for ever"},
    ],
    ids=str,
)
async def test_a_field_of_the_wrong_type_is_refused_and_the_run_goes_on(field: dict[str, object]) -> None:
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run-1")
        with pytest.raises(ValueError, match="record"):
            writer.append([msgspec.structs.replace(make_draft(1), **cast(dict[str, Any], field))])
        await writer.durable(writer.append([make_draft(1)]))
        assert [record.seq for record in await journal.read("run-1")] == [1]
