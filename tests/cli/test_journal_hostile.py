"""`af journal` on journals whose records were not written by the runtime, and on strange places."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from agentfield_journal import Draft, open_journal
from agentfield_rt.cli.journal_reading import shown
from tests.cli.conftest import Call, af

STRANGE_PAYLOADS = [
    b"",
    msgspec.msgpack.encode("text"),
    msgspec.msgpack.encode({1: {b"k": b"v"}}),
    msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(5, b"x")}),
    msgspec.msgpack.encode({"a_ns": "x", "b_id": 5, "c_ref": [1], "d": {"digest": 1}}),
    msgspec.msgpack.encode({"said": "\x1b[2J[/red]"}),
]


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    asyncio.run(_write(path))
    return path


async def _write(path: Path) -> None:
    async with open_journal(f"sqlite:///{path}") as journal:
        writer = await journal.open_run("run_\x1b]0;[/bold]")
        for number, payload in enumerate(STRANGE_PAYLOADS):
            writer.append([Draft(record_id=str(number), kind="[/x]\x1b[31m", at_ns=1, payload=payload)])
        last = Draft(record_id="last", kind="realtime_input_send_requested", at_ns=1)
        writer.append([last, Draft(record_id="end", kind="run_completed", at_ns=1)])
        await writer.release()


@pytest.mark.parametrize("command", ["list", "show", "tail", "stats", "verify"])
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
def test_any_record_is_shown_and_none_steers_the_terminal(
    strange: Path, command: str, as_json: list[str]
) -> None:
    ran = af("journal", command, "--data", strange, *as_json)
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b" not in ran.out


def test_a_key_that_signed_nothing_of_a_journal_does_not_vouch_for_it(call: Call, strange: Path) -> None:
    assert af("journal", "verify", "--data", strange).code == 0
    ran = af("journal", "verify", "--data", strange, "--key", call.data / "journal.pub")
    assert ran.code == 1
    assert "there is no checkpoint" in ran.out


def test_an_import_makes_a_data_folder_where_none_is(call: Call, tmp_path: Path) -> None:
    file, data = tmp_path / "call.jsonl", tmp_path / ".agentfield"
    assert af("journal", "export", "run_", file, "--data", call.data).code == 0
    assert af("journal", "import", file, "--data", data).code == 0
    assert "journal.db" in os.listdir(data)
    assert af("journal", "verify", "--data", data).code == 0


SECRET_URLS = {
    "postgresql://af:s3cr3t@db/af": "postgresql://db/af",
    "postgresql://af:s3cr3t/with@s3cr3t@db/af": "postgresql://db/af",
    "postgresql://af:s3 s3cr3t@db/af": "postgresql://db/af",
    "postgresql://db/af?sslmode=require&password=s3cr3t": "postgresql://db/af",
    "postgresql:///af?host=/run&password=s3@s3cr3t": "postgresql://…",
    "postgresql://af:s3cr3t?s3cr3t@db/af": "postgresql://…",
    "postgresql://af:s3@s3cr3t?@db/af": "postgresql://…",
    "nats://af:s3cr3t@db:4222/J?monitor=http://db:8222": "nats://db:4222/J",
}


@pytest.mark.parametrize(("url", "expected"), SECRET_URLS.items())
def test_a_url_is_shown_without_any_part_of_a_password(url: str, expected: str) -> None:
    assert shown(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://af:s3cr3t/with@signs@127.0.0.1:1/af",
        "postgresql://127.0.0.1:1/af?password=s3@s3cr3t",
        "nats://af:s3cr3t@127.0.0.1:1/J?monitor=http://af:s3cr3t@127.0.0.1:1",
    ],
)
def test_no_message_holds_a_password(url: str, tmp_path: Path) -> None:
    for command in (["erase", "sess", "-y"], ["list"], ["import", str(_empty(tmp_path))]):
        ran = af("journal", *command, "--data", url)
        assert ran.code != 0 and "s3cr3t" not in ran.complaint


def _empty(folder: Path) -> Path:
    (folder / "run.jsonl").touch()
    return folder / "run.jsonl"
