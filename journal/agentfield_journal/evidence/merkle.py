"""RFC 9162 (certificate transparency) Merkle trees: root, inclusion and consistency proofs. Pure."""

from collections.abc import Collection, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """RFC 9162 2.1.1: SHA-256 over 0x00 and the entry."""
    return sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


class Tree:
    """A tree that grows: each leaf and each root cost as many hashes as the tree is high, at most."""

    def __init__(self) -> None:
        self.size = 0
        self._whole: list[tuple[int, bytes]] = []
        """Height and root of the perfect trees that it consists of, the largest first."""

    def add(self, leaf: bytes) -> None:
        """Append a leaf's hash."""
        height, digest = 0, leaf
        while self._whole and self._whole[-1][0] == height:
            digest = _node(self._whole.pop()[1], digest)
            height += 1
        self._whole.append((height, digest))
        self.size += 1

    def copy(self) -> "Tree":
        """The same tree, to grow apart from this one."""
        twin = Tree()
        twin.size, twin._whole = self.size, self._whole.copy()
        return twin

    def root(self) -> bytes:
        """The root over all leaves so far; `EMPTY_ROOT` for none."""
        if not self._whole:
            return EMPTY_ROOT
        digest = self._whole[-1][1]
        for _, left in reversed(self._whole[:-1]):
            digest = _node(left, digest)
        return digest


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree's root over leaf hashes; `EMPTY_ROOT` for none."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def roots(leaves: Sequence[bytes], sizes: Collection[int]) -> dict[int, bytes]:
    """The roots of the trees of the first so many leaves, for each of `sizes` that there are leaves for."""
    tree = Tree()
    found = {0: EMPTY_ROOT} if 0 in sizes else {}
    for leaf in leaves:
        tree.add(leaf)
        if tree.size in sizes:
            found[tree.size] = tree.root()
    return found


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 9162 2.1.3.1: the hashes that lead from leaf `index` to the root."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root(leaves[:split])]


def includes(expected_root: bytes, size: int, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162 2.1.3.2: whether `proof` shows that `leaf` is number `index` of a tree of `size`."""
    if not 0 <= index < size:
        return False
    node, last, digest = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            digest = _node(sibling, digest)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            digest = _node(digest, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and digest == expected_root


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """RFC 9162 2.1.4.1: the hashes that show that the tree of the first `old_size` leaves only grew.

    Raises:
        ValueError: `old_size` is not between 1 and the number of leaves.
    """
    if not 0 < old_size <= len(leaves):
        raise ValueError(f"no tree of {old_size} leaves precedes one of {len(leaves)}")
    return _subproof(leaves, old_size, whole=True)


def _subproof(leaves: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, whole=whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, whole=False), root(leaves[:split])]


def consistent(
    old_root: bytes, old_size: int, new_root: bytes, new_size: int, *, proof: Sequence[bytes]
) -> bool:
    """RFC 9162 2.1.4.2: whether `proof` shows that the new tree begins with the old one."""
    if old_size == new_size:
        return old_root == new_root and not proof
    if not 0 < old_size < new_size or not proof:
        return False
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_digest = new_digest = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_digest, new_digest = _node(sibling, old_digest), _node(sibling, new_digest)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new_digest = _node(new_digest, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old_digest == old_root and new_digest == new_root
