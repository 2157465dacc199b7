"""`af journal` on servers: what it says of a journal file it says of PostgreSQL and NATS too."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agentfield_journal import open_journal
from agentfield_journal.evidence.checkpoints import Checkpointer
from agentfield_journal.evidence.notes import Signer
from agentfield_journal.evidence.places import CheckpointFile
from agentfield_rt.run import Context, Run
from tests.cli.conftest import af, first_line, press_ctrl_c, start_af
from tests.cli.stories import STARTED_NS, STORY
from tests.journal.servers import Server

RUN_ID = "run_20261118_eventful"
SIGNER = Signer("example.org/journal", bytes(32))


async def tell(url: str, run_id: str, *, checkpoints: Path | None = None) -> None:
    """Write the story of a call as a plane would."""
    now_ns = STARTED_NS
    async with open_journal(url) as journal:
        run = await Run.open(journal, run_id, clock=lambda: now_ns)
        for at_ms, turn_id, record in STORY:
            now_ns = STARTED_NS + at_ms * 1_000_000
            run.append([record], Context(session_id="sess_1", turn_id=turn_id))
        await run.durable()
        await run.release()
        if checkpoints is not None:
            signing = await Checkpointer.open(journal, SIGNER, places=[CheckpointFile(checkpoints)])
            await signing.checkpoint()


def said(url: str, *arguments: str | Path) -> Any:
    """What a command says as JSON; it must succeed."""
    ran = af("journal", *arguments, "--data", url, "--json")
    assert ran.code == 0, ran.err
    return ran.json


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """The story in a file, to compare with."""
    url = f"sqlite:///{tmp_path}/story.db"
    asyncio.run(tell(url, RUN_ID))
    return url


def test_a_run_travels_to_a_server_and_reads_there_as_in_a_file(
    server_url: str, file_url: str, tmp_path: Path
) -> None:
    there, back = tmp_path / "there.jsonl", tmp_path / "back.jsonl"
    records = said(file_url, "export", RUN_ID, there)["records"]
    assert said(server_url, "import", there)["records"] == records == len(STORY)
    for command in (["list"], ["show", "--all"], ["stats"], ["verify"]):
        assert said(server_url, *command) == said(file_url, *command), command
    assert said(server_url, "export", RUN_ID, back)["records"] == records
    assert back.read_bytes() == there.read_bytes()
    again = af("journal", "import", there, "--data", server_url)
    assert again.code == 2 and "has a run" in again.complaint
    following = start_af("journal", "tail", RUN_ID, "--last", "3", "--data", server_url, "--json")
    lines = [json.loads(first_line(following)) for _ in range(3)]
    assert press_ctrl_c(following).code == 130
    assert [line["seq"] for line in lines] == [records - 2, records - 1, records]
    assert (
        af("journal", "timeline", "--data", server_url).out
        == af("journal", "timeline", "--data", file_url).out
    )


def test_tail_follows_a_run_that_another_process_writes_on_a_server(server_url: str, file_url: str) -> None:
    asyncio.run(tell(server_url, "run_before"))
    following = start_af("journal", "tail", "--all", "--data", server_url, "--json")
    try:
        asyncio.run(write_until_seen(server_url, following))
    finally:
        ended = press_ctrl_c(following)
    assert ended.code == 130
    assert "Traceback" not in ended.err


async def write_until_seen(url: str, following: Any) -> None:
    seen = asyncio.create_task(asyncio.to_thread(first_line, following))
    while not seen.done():  # what was written before it looked is not shown
        await tell(url, "run_during")
    assert json.loads(await seen)["run_id"] == "run_during"


def test_verify_compares_a_server_with_the_checkpoints_of_a_second_place(
    server_url: str, tmp_path: Path
) -> None:
    places, key = tmp_path / "checkpoints", tmp_path / "journal.pub"
    key.write_text(f"{SIGNER.verifier}\n")
    asyncio.run(tell(server_url, "run_first", checkpoints=places))
    asyncio.run(tell(server_url, RUN_ID, checkpoints=places))
    outside = ("--key", key, "--earlier", places)
    found = said(server_url, "verify", *outside)
    assert found == {
        "ok": True,
        "runs": 2,
        "records": 2 * len(STORY) + 2,
        "checkpoints": 2,
        "findings": [],
        "passed_over": [],
    }
    assert said(server_url, "verify", "run_first", *outside)["records"] == len(STORY)
    file = tmp_path / "call.jsonl"
    assert said(server_url, "export", "run_first", file, "--leaves")["checkpoint"] is True
    assert said(str(file), "verify", *outside)["checkpoints"] == 2
    copied = f"sqlite:///{tmp_path}/copy.db"
    assert af("journal", "upgrade", server_url, copied).code == 0
    assert said(copied, "verify", *outside)["checkpoints"] == 2
    short = tmp_path / "short.db"
    assert said(str(short), "import", file)["records"] == len(STORY)
    ran = af("journal", "verify", *outside, "--data", short, "--json")
    assert ran.code == 1 and "older copy" in ran.json["findings"][0]["problem"]


@pytest.mark.parametrize("command", ["list", "show", "tail", "verify", "stats"])
@pytest.mark.parametrize(
    "url", ["postgresql://af:very-secret@127.0.0.1:1/af", "nats-unsynced://af:very-secret@127.0.0.1:1/AF"]
)
def test_a_server_that_is_not_there_is_one_line_without_the_password(command: str, url: str) -> None:
    ran = af("journal", command, "--data", url)
    assert ran.code == 3
    assert "127.0.0.1:1" in ran.complaint
    assert "secret" not in ran.complaint


@pytest.mark.parametrize("command", [["list"], ["tail", "run_1"], ["export", "run_1", "call.jsonl"]])
def test_a_stream_that_is_not_there_is_named(nats_server: Server, command: list[str]) -> None:
    ran = af("journal", *command, "--data", f"nats-unsynced://127.0.0.1:{nats_server.port}/GONE")
    assert ran.code == 3
    assert "no stream GONE" in ran.complaint
