"""What a power cut may leave on a disk: states that the log of a `Disk` allows, one after the other.

Knows files and sectors, nothing of what they hold.
"""

import random
from collections.abc import Generator, Iterable, Sequence
from hashlib import blake2b

import msgspec

from agentfield_journal.testing.disk import Delete, Image, Mark, Operation, Sync, Truncate, Write, apply

SECTOR_BYTES = 512

Change = Write | Truncate


class CrashState(msgspec.Struct, frozen=True):
    """Files as they may be found after the power cut, and the last promise made before it."""

    image: Image
    promise: object
    story: str


class _Platter:
    """What is certainly on the disk, and what was done since without a sync."""

    def __init__(self, image: Image) -> None:
        self.stable = {name: bytearray(data) for name, data in image.items()}
        self.pending: list[Change] = []
        self.promise: object = None

    def advance(self, operation: Operation) -> None:
        if isinstance(operation, Mark):
            self.promise = operation.promise
        elif isinstance(operation, Delete):
            self.stable.pop(operation.file, None)
            self.pending = [change for change in self.pending if change.file != operation.file]
        elif isinstance(operation, Sync):
            if not operation.failed:
                for change in self.pending:
                    if change.file == operation.file:
                        apply(self.stable.setdefault(change.file, bytearray()), change)
            self.pending = [change for change in self.pending if change.file != operation.file]
        else:
            self.pending.append(operation)

    def image(self, changes: Iterable[Change]) -> Image:
        files = {name: bytearray(data) for name, data in self.stable.items()}
        for change in changes:
            apply(files.setdefault(change.file, bytearray()), change)
        return {name: bytes(data) for name, data in files.items()}


def crash_states(
    log: Sequence[Operation], *, start: Image | None = None, seed: int = 0, subsets: int = 6
) -> Generator[CrashState]:
    """Distinct states after a power cut at any point of `log`.

    Everything synced is there. Of what was not: nothing, all, all but one, only one, one cut at a
    sector or replaced by zeros, all in reverse order, and `subsets` random choices in random order.

    Args:
        start: The files before the first operation.
        seed: Chooses the random ones.
    """
    chance = random.Random(seed)
    platter = _Platter(start or {})
    seen: set[bytes] = set()
    for position, operation in enumerate(log):
        platter.advance(operation)
        for story, changes in _losses(platter.pending, chance, subsets):
            image = platter.image(changes)
            print_of_state = _fingerprint(image, platter.promise)
            if print_of_state not in seen:
                seen.add(print_of_state)
                yield CrashState(image, platter.promise, f"after operation {position}: {story}")


def synced_image(log: Sequence[Operation], start: Image | None = None) -> Image:
    """The files after a power cut at the end of `log` that keeps nothing but what was synced."""
    platter = _Platter(start or {})
    for operation in log:
        platter.advance(operation)
    return platter.image([])


def _losses(
    pending: list[Change], chance: random.Random, subsets: int
) -> Generator[tuple[str, Sequence[Change]]]:
    yield "nothing unsynced", []
    if not pending:
        return
    yield "everything", pending
    yield "everything in reverse", pending[::-1]
    for index, change in enumerate(pending):
        yield f"all but {index}", pending[:index] + pending[index + 1 :]
        yield f"only {index}", [change]
    # Earlier positions of the log have cut the earlier changes already.
    last = pending[-1]
    if isinstance(last, Write):
        for cut in _sector_cuts(last):
            yield (
                f"the last cut to {cut} bytes",
                [
                    *pending[:-1],
                    Write(last.file, last.offset, last.data[:cut]),
                ],
            )
            yield (
                f"only the last, its first {cut} bytes zero",
                [Write(last.file, last.offset, bytes(cut) + last.data[cut:])],
            )
        yield "the last all zero", [*pending[:-1], Write(last.file, last.offset, bytes(len(last.data)))]
    for _ in range(subsets):
        chosen = [change for change in pending if chance.random() < 0.5]
        chance.shuffle(chosen)
        yield "a random choice", chosen


def _sector_cuts(write: Write) -> list[int]:
    first = SECTOR_BYTES - write.offset % SECTOR_BYTES
    return list(range(first, len(write.data), SECTOR_BYTES))


def _fingerprint(image: Image, promise: object) -> bytes:
    digest = blake2b(repr(promise).encode(), digest_size=16)
    for name in sorted(image):
        digest.update(name.encode() + b"\x00" + len(image[name]).to_bytes(8, "big"))
        digest.update(image[name])
    return digest.digest()
