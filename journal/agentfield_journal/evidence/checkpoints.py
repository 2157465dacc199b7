"""Checkpoints: what a journal was at one moment, in a signed note (https://c2sp.org/tlog-checkpoint).

A tree has one leaf for every head a checkpoint saw change, so it only grows. Leaves, notes and key
rotations are records of a run of the journal itself; the notes also go to a second place.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

import msgspec

from agentfield_journal.engine import StoreJournal
from agentfield_journal.envelope import Cursor, Draft, Envelope
from agentfield_journal.errors import JournalError, JournalUnavailable
from agentfield_journal.evidence import merkle
from agentfield_journal.evidence.notes import Signer, VerifierKey, open_note
from agentfield_journal.evidence.places import ROTATION_TITLE, CheckpointPlace
from agentfield_journal.writer import StoreRunWriter

CHECKPOINT_RUN = "journal/checkpoints"
CHECKPOINT_KIND = "checkpoint_signed"
ROTATION_KIND = "checkpoint_key_rotated"

_PUBLISH_S = 10.0
_OWED_NOTES_MAX = 1_000  # of a place that is away: the oldest go, for each note covers those before


class Leaf(msgspec.Struct, frozen=True, array_like=True):
    """A head as a checkpoint saw it: the tree's entry is this, as a msgpack array."""

    run_id: str
    seq: int
    hash: bytes

    def digest(self) -> bytes:
        return merkle.leaf_hash(_encode(self))


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a checkpoint: the journal's name, the number of leaves, the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Raises `ValueError` when `text` is not a checkpoint's."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or not lines[1].isdecimal():
            raise ValueError("not a checkpoint")
        return cls(origin=lines[0], size=int(lines[1]), root=base64.b64decode(lines[2], validate=True))


class CheckpointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of a checkpoint's record: the leaves it adds to the tree, and the note."""

    leaves: list[Leaf]
    note: str


class RotationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of a rotation's record: a note by the old key that names the new one."""

    note: str


_encode = msgspec.msgpack.Encoder().encode
_decode_checkpoint = msgspec.msgpack.Decoder(CheckpointRecord).decode
_decode_rotation = msgspec.msgpack.Decoder(RotationRecord).decode


class History(msgspec.Struct, frozen=True):
    """What the checkpoint run of a journal says: leaves in order, notes by tree size, keys by rotation."""

    leaves: list[Leaf]
    notes: list[str]
    rotations: list[str]

    def newest_leaf(self, run_id: str) -> int | None:
        """The number of the last leaf of `run_id`."""
        found = (index for index in reversed(range(len(self.leaves))) if self.leaves[index].run_id == run_id)
        return next(found, None)


def read_history(records: Sequence[Envelope]) -> History:
    """Fold the records of the checkpoint run.

    Raises:
        msgspec.MsgspecError: a payload is not what its kind says.
    """
    history = History([], [], [])
    for record in records:
        if record.kind == CHECKPOINT_KIND:
            checkpoint = _decode_checkpoint(record.payload)
            history.leaves.extend(checkpoint.leaves)
            history.notes.append(checkpoint.note)
        elif record.kind == ROTATION_KIND:
            history.rotations.append(_decode_rotation(record.payload).note)
    return history


def trusted_after(rotations: Sequence[str], first: Sequence[VerifierKey]) -> list[VerifierKey]:
    """The `first` trusted keys and all that were handed on by one already trusted.

    Raises:
        ValueError: a rotation was not signed by a trusted key.
    """
    trusted = list(first)
    for note in rotations:
        text, _ = open_note(note, trusted)
        title, _, key = text.rstrip("\n").partition("\n")
        if title != ROTATION_TITLE:
            raise ValueError("not a key rotation")
        trusted.append(VerifierKey.parse(key))
    return trusted


class Checkpointer:
    """Signs checkpoints of a journal that this process writes. Make it with `open`."""

    def __init__(
        self,
        journal: StoreJournal,
        writer: StoreRunWriter,
        signer: Signer,
        *,
        places: Sequence[CheckpointPlace],
    ) -> None:
        self._journal = journal
        self._writer = writer
        self._signer = signer
        self._places = places
        self._owed = [deque[str](maxlen=_OWED_NOTES_MAX) for _ in places]
        self._tree = merkle.Tree()
        self._seen: dict[str, int] = {}
        self._turn = asyncio.Lock()

    @classmethod
    async def open(
        cls, journal: StoreJournal, signer: Signer, *, places: Sequence[CheckpointPlace] = ()
    ) -> "Checkpointer":
        """Go on from the checkpoints already in the journal."""
        writer = await journal.open_run(CHECKPOINT_RUN)
        checkpointer = cls(journal, writer, signer, places=places)
        checkpointer._note(read_history(await journal.read(CHECKPOINT_RUN)).leaves)
        return checkpointer

    def _note(self, leaves: Sequence[Leaf]) -> None:
        for leaf in leaves:
            self._tree.add(leaf.digest())
            self._seen[leaf.run_id] = leaf.seq

    async def checkpoint(self, run_ids: Collection[str] | None = None) -> str | None:
        """Sign what changed since the last checkpoint; None if nothing did.

        Args:
            run_ids: Where to look, by whoever knows which runs grew; without it at every run there is.

        Raises:
            JournalUnavailable: the journal or one of the places failed. The note is in the journal
                once it is durable, also if a place failed; that one gets it with the next.
            JournalFull: the journal has no room for it; nothing was signed.
        """
        async with self._turn:
            heads = await (self._journal.all_heads() if run_ids is None else self._journal.heads_of(run_ids))
            changed = [
                Leaf(head.run_id, head.seq, head.hash)
                for head in reversed(heads)
                if head.run_id != CHECKPOINT_RUN and self._seen.get(head.run_id) != head.seq
            ]
            if not changed:
                await self._publish()
                return None
            tree = self._tree.copy()
            for leaf in changed:
                tree.add(leaf.digest())
            text = Checkpoint(origin=self._signer.verifier.name, size=tree.size, root=tree.root()).text()
            note = self._signer.sign(text)
            cursor = self._append(CHECKPOINT_KIND, CheckpointRecord(leaves=changed, note=note))
            self._note(changed)  # only now: the tree is what the journal has of it
            await self._writer.durable(cursor)
            await self._publish(note)
            return note

    async def rotate(self, new: Signer) -> str:
        """Hand over to a `new` key of the same name; the old one signs that."""
        async with self._turn:
            note = self._signer.sign(f"{ROTATION_TITLE}\n{new.verifier}\n")
            cursor = self._append(ROTATION_KIND, RotationRecord(note=note))
            self._signer = new
            await self._writer.durable(cursor)
            await self._publish(note)
            return note

    def _append(self, kind: str, payload: msgspec.Struct) -> Cursor:
        seq = self._writer.head.seq + 1
        draft = Draft(record_id=f"{kind}.{seq}", kind=kind, at_ns=time.time_ns(), payload=_encode(payload))
        return self._writer.append([draft])

    async def _publish(self, *notes: str) -> None:
        """Give every place `notes` and what it did not take before; one that fails holds up no other."""
        failures: list[JournalUnavailable] = []
        for place, owed in zip(self._places, self._owed, strict=True):
            owed.extend(notes)
            try:
                while owed:
                    async with asyncio.timeout(_PUBLISH_S):
                        await place.publish(owed[0])
                    owed.popleft()
            except TimeoutError:
                failures.append(JournalUnavailable(f"a checkpoint's place did not answer in {_PUBLISH_S} s"))
            except JournalUnavailable as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def run(self, *, every_s: float = 60.0, failed: Callable[[JournalError], None]) -> None:
        """Checkpoint now and every `every_s` until cancelled; `failed` hears of each that went wrong."""
        while True:
            try:
                await self.checkpoint()
            except JournalError as error:
                failed(error)
            await asyncio.sleep(every_s)
