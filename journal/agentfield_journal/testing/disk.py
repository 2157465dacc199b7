"""A disk in memory under SQLite: every write, truncation, sync and deletion is logged and can fail.

Knows SQLite's file layer and nothing of journals.
"""

import errno
import itertools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

import apsw
import msgspec


class Write(msgspec.Struct, frozen=True, gc=False):
    file: str
    offset: int
    data: bytes


class Truncate(msgspec.Struct, frozen=True, gc=False):
    file: str
    size: int


class Sync(msgspec.Struct, frozen=True, gc=False):
    """Everything done to the file before is on the platter; or, when it failed, never will be."""

    file: str
    failed: bool = False


class Delete(msgspec.Struct, frozen=True, gc=False):
    file: str


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The workload's own note of what it had been promised at this point."""

    promise: object


Operation: TypeAlias = Write | Truncate | Sync | Delete | Mark
Image: TypeAlias = dict[str, bytes]
Fault: TypeAlias = Callable[[str, int], str | None]
"""Given the kind of call (read, write, truncate, sync, delete, open) and its number: None, or one of
`io` (nothing happens), `full`, `short` (half is written, then no room), `sync` (it loses the pages)."""

_numbers = itertools.count()


class Disk:
    """Files by name, the log of what was done to them, and the next fault.

    A failed sync loses what it should have written, although reads still see it: Linux does the same.
    """

    def __init__(self, image: Image | None = None) -> None:
        self.files = {name: bytearray(data) for name, data in (image or {}).items()}
        self.log: list[Operation] = []
        self.calls = 0
        self.faults = 0
        self.fault: Fault | None = None
        self.vfs_name = f"journal-test-disk-{next(_numbers)}"

    def mark(self, promise: object) -> None:
        self.log.append(Mark(promise))

    @contextmanager
    def mounted(self) -> Generator[str]:
        """The name under which SQLite finds this disk."""
        layer = _Layer(self)
        try:
            yield self.vfs_name
        finally:
            layer.unregister()

    def next_fault(self, kind: str) -> str | None:
        """Count a call and say how it must fail, if it must."""
        self.calls += 1
        fault = self.fault(kind, self.calls) if self.fault else None
        self.faults += fault is not None
        return fault


def _fail(fault: str) -> Exception:
    if fault in ("full", "short"):
        return apsw.FullError("no room on the test disk")
    return apsw.IOError(errno.EIO, "the test disk failed")


class _Layer(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(disk.vfs_name, base="")

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:
        return pathname in self._disk.files

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if fault := self._disk.next_fault("delete"):
            raise _fail(fault)
        self._disk.files.pop(filename, None)
        self._disk.log.append(Delete(filename))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if fault := self._disk.next_fault("open"):
            raise _fail(fault)
        file_name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk.files.setdefault(file_name, bytearray())
        flags[1] = flags[0]
        return _File(self._disk, file_name)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name

    @property
    def _data(self) -> bytearray:
        return self._disk.files.setdefault(self._name, bytearray())

    def xRead(self, amount: int, offset: int) -> bytes:
        if fault := self._disk.next_fault("read"):
            raise _fail(fault)
        return bytes(self._data[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        fault = self._disk.next_fault("write")
        if fault == "short":
            data = data[: len(data) // 2]
        elif fault:
            raise _fail(fault)
        apply(self._data, Write(self._name, offset, bytes(data)))
        self._disk.log.append(Write(self._name, offset, bytes(data)))
        if fault:
            raise _fail(fault)

    def xTruncate(self, newsize: int) -> None:
        if fault := self._disk.next_fault("truncate"):
            raise _fail(fault)
        apply(self._data, Truncate(self._name, newsize))
        self._disk.log.append(Truncate(self._name, newsize))

    def xSync(self, flags: int) -> None:
        fault = self._disk.next_fault("sync")
        self._disk.log.append(Sync(self._name, failed=fault == "sync"))
        if fault:
            raise _fail(fault)

    def xFileSize(self) -> int:
        return len(self._data)

    def xClose(self) -> None:
        """Nothing is held."""

    def xLock(self, level: int) -> None:
        """One process: nobody else can hold it."""

    def xUnlock(self, level: int) -> None:
        """One process: nobody waits for it."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE


def apply(data: bytearray, operation: Write | Truncate) -> None:
    """Do to `data` what was done to its file."""
    if isinstance(operation, Truncate):
        del data[operation.size :]
        return
    if len(data) < operation.offset:
        data.extend(bytes(operation.offset - len(data)))
    data[operation.offset : operation.offset + len(operation.data)] = operation.data
