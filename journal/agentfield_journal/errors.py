"""What can go wrong with a journal; each error says whose fault it is and what would work."""


class JournalError(Exception):
    """Base of every error of this package."""


class JournalCorrupt(JournalError):
    """Stored bytes contradict their chain. `seq` is the first bad record of `run_id`."""

    def __init__(self, message: str, *, run_id: str, seq: int) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.seq = seq


class JournalConflict(JournalError):
    """Another writer owns the run or the file, or a record id is taken by different content."""


class RunLeased(JournalConflict):
    """Another holder has a live lease of the run. Open it again when that has ended or was released.

    `holder` is its name; `ends_at_ns` is when its lease ends, in nanoseconds since 1970 by the server's
    clock, and `ends_in_s` how long that was from when the server was asked. It may be renewed meanwhile.
    """

    def __init__(self, *, run_id: str, holder: str, ends_at_ns: int, ends_in_s: float) -> None:
        super().__init__(
            f"run {run_id} is leased to {holder} for another {ends_in_s:.1f} s;"
            " open it again when the lease has ended or was released"
        )
        self.run_id = run_id
        self.holder = holder
        self.ends_at_ns = ends_at_ns
        self.ends_in_s = ends_in_s


class JournalFull(JournalError):
    """No room: the disk is full, or too many records wait for the disk. Nothing of the batch was taken."""


class BatchTooLarge(JournalError):
    """More bytes in one batch than the store takes at once. Nothing was taken; append less at a time."""


class JournalUnavailable(JournalError):
    """The journal is closed, or a failed sync poisoned its writer. Reopen it and read before going on."""


class UnknownVersion(JournalError):
    """A record or file was written by a newer version; upgrade this package to read it."""


class ContentGone(JournalError):
    """The content of a ref is not there: `reason` is `unknown`, `erased` or `expired`."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def another(error: JournalError) -> JournalError:
    """`error` as a fresh exception, for each of those who get it: so they do not share one traceback."""
    kind = JournalConflict if isinstance(error, JournalConflict) else JournalUnavailable
    copy = kind(str(error))
    copy.__cause__ = error
    return copy
