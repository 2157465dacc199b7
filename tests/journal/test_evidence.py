"""Checkpoints prove what a journal was: against rewriting, truncation and older copies."""

import shutil
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfield_journal import JournalFull, JournalUnavailable, StoreJournal, codec, open_journal, verify
from agentfield_journal.evidence import merkle
from agentfield_journal.evidence.checkpoints import (
    Checkpoint,
    Checkpointer,
    read_history,
)
from agentfield_journal.evidence.notes import Signer, VerifierKey, load_or_make_signer, open_note
from agentfield_journal.evidence.places import CheckpointFile, CheckpointWebhook
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.sqlite_connection import connect
from agentfield_journal.testing import make_draft

# Inputs and roots of the reference tree of RFC 6962's authors, for sizes 1 to 8.
ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# The example of the note format's reference implementation.
EXAMPLE_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
EXAMPLE_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
EXAMPLE_SIGNATURE = (
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_roots_are_those_of_the_reference_tree() -> None:
    leaves = [merkle.leaf_hash(bytes.fromhex(entry)) for entry in ENTRIES]
    for size, expected in enumerate(ROOTS, 1):
        assert merkle.root(leaves[:size]).hex() == expected


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 70), data=st.data())
def test_proofs_hold_for_what_they_prove_and_nothing_else(size: int, data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(size)]
    root = merkle.root(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(leaves, index)
    assert merkle.includes(root, size, index, leaves[index], proof)
    other = data.draw(st.integers(0, size).filter(lambda number: number != index))
    assert not merkle.includes(root, size, other, leaves[index], proof)
    assert not merkle.includes(root, size, index, merkle.leaf_hash(b"other"), proof)
    old_size = data.draw(st.integers(1, size))
    old_root = merkle.root(leaves[:old_size])
    growth = merkle.consistency_proof(leaves, old_size)
    assert merkle.consistent(old_root, old_size, root, size, proof=growth)
    assert not merkle.consistent(merkle.leaf_hash(b"x"), old_size, root, size, proof=growth)
    if growth:
        assert not merkle.consistent(old_root, old_size, root, size, proof=growth[:-1])


def test_a_note_of_another_implementation_opens() -> None:
    key = VerifierKey.parse(EXAMPLE_KEY)
    assert str(key) == EXAMPLE_KEY
    text, signer = open_note(f"{EXAMPLE_TEXT}\n{EXAMPLE_SIGNATURE}", [key])
    assert (text, signer) == (EXAMPLE_TEXT, key)
    with pytest.raises(ValueError, match="false"):
        open_note(f"{EXAMPLE_TEXT.replace('answer', 'question')}\n{EXAMPLE_SIGNATURE}", [key])
    with pytest.raises(ValueError, match="no trusted key"):
        open_note(f"{EXAMPLE_TEXT}\n{EXAMPLE_SIGNATURE}", [Signer.generate("PeterNeumann").verifier])


def test_a_signing_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    signer = load_or_make_signer(tmp_path / "keys" / "journal.key", "example.org/journal")
    again = load_or_make_signer(tmp_path / "keys" / "journal.key", "example.org/journal")
    assert signer.verifier == again.verifier
    (tmp_path / "keys" / "journal.key").chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        load_or_make_signer(tmp_path / "keys" / "journal.key", "example.org/journal")


async def fill(journal: StoreJournal, run_id: str, numbers: range) -> None:
    writer = await journal.open_run(run_id)
    await writer.durable(writer.append([make_draft(number) for number in numbers]))


def split_notes(path: Path) -> list[str]:
    """Each note is its text, an empty line, its signature lines, an empty line."""
    parts = path.read_text().split("\n\n")
    return [f"{text}\n\n{signature}\n" for text, signature in zip(parts[::2], parts[1::2], strict=False)]


@pytest.fixture
def signer() -> Signer:
    return Signer.generate("example.org/journal")


@pytest.mark.asyncio
async def test_a_checkpoint_covers_every_run_and_goes_to_the_second_place(
    tmp_path: Path, signer: Signer
) -> None:
    outside = tmp_path / "outside" / "checkpoints"
    async with open_journal("memory:") as journal:
        checkpointer = await Checkpointer.open(journal, signer, places=[CheckpointFile(outside)])
        assert await checkpointer.checkpoint() is None
        await fill(journal, "run-1", range(5))
        await fill(journal, "run-2", range(3))
        first = await checkpointer.checkpoint()
        assert await checkpointer.checkpoint() is None
        await fill(journal, "run-1", range(5, 9))
        second = await checkpointer.checkpoint()
        assert split_notes(outside) == [first, second]
        text, _ = open_note(str(second), [signer.verifier])
        assert Checkpoint.parse(text).size == 3
        report = await verify(journal, trusted=[signer.verifier], earlier=split_notes(outside))
        assert report.sound and report.checkpoints == 2
        assert [head.run_id for head in await journal.heads()] == ["run-2", "run-1"]


@pytest.mark.asyncio
async def test_checkpoints_go_on_after_a_restart_and_a_key_rotation(tmp_path: Path, signer: Signer) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with open_journal(url) as journal:
        await fill(journal, "run-1", range(5))
        checkpointer = await Checkpointer.open(journal, signer)
        first = await checkpointer.checkpoint()
        new = Signer.generate("example.org/journal")
        await checkpointer.rotate(new)
    async with open_journal(url) as journal:
        await fill(journal, "run-2", range(5))
        second = await (await Checkpointer.open(journal, new)).checkpoint()
        report = await verify(journal, trusted=[signer.verifier], earlier=[str(first), str(second)])
        assert report.sound and report.checkpoints == 2
        stranger = Signer.generate("example.org/journal")
        assert not (await verify(journal, trusted=[stranger.verifier])).sound
        history = read_history(await journal.read("journal/checkpoints"))
        leaves = [leaf.digest() for leaf in history.leaves]
        assert merkle.includes(
            merkle.root(leaves), len(leaves), 1, leaves[1], merkle.inclusion_proof(leaves, 1)
        )


@pytest.mark.asyncio
async def test_an_older_copy_is_told_by_a_checkpoint_from_outside(tmp_path: Path, signer: Signer) -> None:
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        await fill(journal, "run-1", range(5))
        await (await Checkpointer.open(journal, signer)).checkpoint()
    shutil.copy(tmp_path / "journal.db", tmp_path / "yesterday.db")
    async with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        await fill(journal, "run-1", range(5, 9))
        newest = await (await Checkpointer.open(journal, signer)).checkpoint()
    async with open_journal(f"sqlite:///{tmp_path}/yesterday.db") as journal:
        assert (await verify(journal, trusted=[signer.verifier])).sound
        report = await verify(journal, trusted=[signer.verifier], earlier=[str(newest)])
        assert "older copy" in report.findings[0].problem


def rewrite(path: Path, *, keep: int) -> None:
    """Cut run-1 after `keep` records, as someone with the file but not with the key could."""
    db = connect(path, apsw.SQLITE_OPEN_READWRITE, None)
    db.execute(
        "DELETE FROM records WHERE seq > ? AND run = (SELECT run FROM runs WHERE run_id = 'run-1')", (keep,)
    )
    db.close()


def rechain(path: Path) -> None:
    """Change record 2 of run-1 and compute every later hash anew."""
    db = connect(path, apsw.SQLITE_OPEN_READWRITE, None)
    rows = db.execute(
        "SELECT id, body FROM records JOIN runs USING (run) WHERE run_id = 'run-1' ORDER BY seq"
    ).fetchall()
    digest = codec.genesis("run-1")
    for number, (row, body) in enumerate(rows, 1):
        assert isinstance(body, bytes)
        changed = body.replace(b"op-1", b"op-9") if number >= 2 else body
        digest = codec.link(changed, digest)
        db.execute("UPDATE records SET body = ?, hash = ? WHERE id = ?", (changed, digest, row))
    db.close()


@pytest.mark.parametrize("attack", ["cut", "rechain", "drop"])
@pytest.mark.asyncio
async def test_what_the_chain_cannot_see_the_checkpoint_does(
    attack: str, tmp_path: Path, signer: Signer
) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(f"sqlite:///{path}") as journal:
        await fill(journal, "run-1", range(1, 6))
        await (await Checkpointer.open(journal, signer)).checkpoint()
    if attack == "rechain":
        rechain(path)
    else:
        rewrite(path, keep=3 if attack == "cut" else 0)
    async with open_journal(f"sqlite:///{path}") as journal:
        report = await verify(journal, trusted=[signer.verifier])
        found = [(finding.run_id, finding.seq) for finding in report.findings]
        assert ("run-1", 5) in found
        assert {run_id for run_id, _ in found} <= {"run-1", ""}


class Witness(BaseHTTPRequestHandler):
    """Takes notes until told to refuse."""

    notes: ClassVar[list[str]] = []
    status: ClassVar[int] = 204

    def do_POST(self) -> None:
        self.notes.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def witness_url() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), Witness) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


@pytest.mark.asyncio
async def test_a_webhook_that_refuses_a_checkpoint_is_heard(witness_url: str, signer: Signer) -> None:
    async with open_journal("memory:") as journal:
        await fill(journal, "run-1", range(5))
        checkpointer = await Checkpointer.open(journal, signer, places=[CheckpointWebhook(witness_url)])
        assert Witness.notes == [await checkpointer.checkpoint()]
        await fill(journal, "run-2", range(5))
        Witness.status = 500
        with pytest.raises(JournalUnavailable, match="webhook"):
            await checkpointer.checkpoint()
        # The journal has it all the same, and the place gets it as soon as it answers.
        notes = read_history(await journal.read("journal/checkpoints")).notes
        assert len(notes) == 2
        Witness.notes.clear()
        Witness.status = 302
        with pytest.raises(JournalUnavailable, match="webhook"):
            await checkpointer.checkpoint()
        Witness.notes.clear()
        Witness.status = 204
        assert await checkpointer.checkpoint() is None
        assert Witness.notes == notes[1:]


@pytest.mark.asyncio
async def test_a_checkpoint_for_which_there_is_no_room_leaves_the_tree_as_it_was(signer: Signer) -> None:
    store = MemoryStore()
    journal = StoreJournal(store)
    checkpointer = await Checkpointer.open(journal, signer)
    await fill(journal, "run-1", range(5))
    store.full = True
    with pytest.raises(JournalFull):
        await checkpointer.checkpoint()
    store.full = False
    note = await checkpointer.checkpoint()
    assert note is not None
    report = await verify(journal, trusted=[signer.verifier], earlier=[note])
    assert report.sound and report.checkpoints == 1
    await journal.close()
