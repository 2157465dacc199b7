"""The checkpoint in an exported run: what it proves by itself, and against checkpoints from elsewhere.

Knows heads and notes, nothing of files or records.
"""

from collections.abc import Sequence

import msgspec

from agentfield_journal.evidence import merkle
from agentfield_journal.evidence.checkpoints import Checkpoint, History, Leaf, trusted_after
from agentfield_journal.evidence.notes import VerifierKey, open_note
from agentfield_journal.stores.port import StoredRow


class ExportedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed checkpoint, and that it saw the run at `leaf`. Hashes are hex.

    `leaves`, if they are there, are the whole tree: every head of every run that a checkpoint saw, in order.
    """

    note: str
    rotations: list[str]
    leaf: tuple[str, int, str]
    index: int
    proof: list[str]
    leaves: list[tuple[str, int, str]] | None = None


class Mismatch(ValueError):
    """The run is not what a checkpoint saw. `seq` is the first record that shows it, or 0."""

    def __init__(self, problem: str, *, seq: int = 0) -> None:
        super().__init__(problem)
        self.seq = seq


def make_proof(history: History, run_id: str, *, leaves: bool) -> ExportedCheckpoint | None:
    """The newest checkpoint, and that it saw the run; None when none did.

    Args:
        leaves: Take the whole tree along, so that any other checkpoint of the journal can be compared.
    """
    index = history.newest_leaf(run_id)
    if index is None or not history.notes:
        return None
    digests = [leaf.digest() for leaf in history.leaves]
    return ExportedCheckpoint(
        note=history.notes[-1],
        rotations=history.rotations,
        leaf=_named(history.leaves[index]),
        index=index,
        proof=[digest.hex() for digest in merkle.inclusion_proof(digests, index)],
        leaves=[_named(leaf) for leaf in history.leaves] if leaves else None,
    )


def _named(leaf: Leaf) -> tuple[str, int, str]:
    return leaf.run_id, leaf.seq, leaf.hash.hex()


def check_proof(
    proof: ExportedCheckpoint,
    rows: Sequence[StoredRow],
    *,
    trusted: Sequence[VerifierKey] = (),
    earlier: Sequence[str] = (),
) -> int:
    """Compare a run's rows with the checkpoint they came with, and that with `earlier` ones.

    Returns:
        The number of checkpoints whose signature was checked.

    Raises:
        Mismatch: they differ, or there is nothing to compare an earlier checkpoint with.
        ValueError: a note or a key rotation does not hold.
    """
    keys = trusted_after(proof.rotations, trusted) if trusted else []
    own = _parse(proof.note, keys)
    path = [bytes.fromhex(sibling) for sibling in proof.proof]
    if not merkle.includes(own.root, own.size, proof.index, _leaf(proof.leaf).digest(), path):
        raise Mismatch("its checkpoint does not include the run")
    seen = [_parse(note, keys) for note in dict.fromkeys(earlier)]
    if proof.leaves is None:
        _compare_leaf(proof.leaf, rows)
        _compare_note(own, seen)
    else:
        leaves = [_leaf(named) for named in proof.leaves]
        _compare_tree([own, *seen], leaves)
        if not 0 <= proof.index < len(leaves) or leaves[proof.index] != _leaf(proof.leaf):
            raise Mismatch("its checkpoint's leaves are not those of its proof")
        for named in proof.leaves:
            if named[0] == proof.leaf[0]:
                _compare_leaf(named, rows)
    return len({proof.note, *earlier}) if trusted else 0


def _parse(note: str, keys: list[VerifierKey]) -> Checkpoint:
    return Checkpoint.parse(open_note(note, keys)[0] if keys else note.rpartition("\n\n")[0] + "\n")


def _leaf(named: tuple[str, int, str]) -> Leaf:
    run_id, seq, digest = named
    return Leaf(run_id, seq, bytes.fromhex(digest))


def _compare_leaf(named: tuple[str, int, str], rows: Sequence[StoredRow]) -> None:
    _, seq, digest = named
    if seq > len(rows):
        raise Mismatch(f"record {seq} is missing that a checkpoint saw", seq=len(rows) + 1)
    if seq < 1 or rows[seq - 1][2].hex() != digest:
        raise Mismatch(f"record {seq} is not the one that the checkpoint saw", seq=max(seq, 0))


def _compare_note(own: Checkpoint, seen: Sequence[Checkpoint]) -> None:
    """Without leaves only a checkpoint of the same tree can be compared: one must be there, and agree."""
    same = [checkpoint for checkpoint in seen if checkpoint.size == own.size]
    if any(checkpoint != own for checkpoint in same):
        raise Mismatch(f"its checkpoint of {own.size} heads is not the one that was given")
    if seen and not same:
        raise Mismatch(
            "its checkpoint is not among those given, and it has no leaves to compare them with;"
            " export it with the leaves"
        )


def _compare_tree(checkpoints: Sequence[Checkpoint], leaves: Sequence[Leaf]) -> None:
    sizes = {checkpoint.size for checkpoint in checkpoints}
    roots = merkle.roots([leaf.digest() for leaf in leaves], sizes)
    for number, checkpoint in enumerate(checkpoints):
        whose = "its" if number == 0 else "a"
        if checkpoint.origin != checkpoints[0].origin:
            raise Mismatch(f"a checkpoint given is of another journal, {checkpoint.origin}")
        if checkpoint.size > len(leaves):
            raise Mismatch(
                f"{whose} checkpoint saw {checkpoint.size} heads, its leaves are {len(leaves)}:"
                " the run was exported before, or from a journal that was cut"
            )
        if roots[checkpoint.size] != checkpoint.root:
            raise Mismatch(f"the first {checkpoint.size} heads are not those that {whose} checkpoint saw")
