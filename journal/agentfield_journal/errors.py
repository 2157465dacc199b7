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


class JournalFull(JournalError):
    """No room: the disk is full, or too many records wait for the disk. Nothing of the batch was taken."""


class JournalUnavailable(JournalError):
    """The journal is closed, or a failed sync poisoned its writer. Reopen it and read before going on."""


class UnknownVersion(JournalError):
    """A record or file was written by a newer version; upgrade this package to read it."""


class ContentGone(JournalError):
    """The content of a ref is not there: `reason` is `unknown`, `erased` or `expired`."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
