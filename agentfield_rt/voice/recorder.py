"""A session's own records and what they refer to, and what of them the journal did not take yet."""

from agentfield_journal import ContentStore
from agentfield_journal.envelope import Retention
from agentfield_rt.core.lifecycle import FEATURE_CLOSERS
from agentfield_rt.core.records import Record
from agentfield_rt.history import SpokenSoFar
from agentfield_rt.run import Context, Run


class Recorder:
    """Appends what happens in a session. An outcome that the journal refuses is not forgotten."""

    def __init__(self, run: Run, session_id: str, content: ContentStore) -> None:
        self._run = run
        self._session_id = session_id
        self._content = content
        self.spoken = SpokenSoFar()
        run.follow(session_id, self.spoken.follow)
        self._owed: list[tuple[Record, Context]] = []

    def record(self, record: Record, turn_id: str | None = None) -> None:
        """Append `record`, after what is owed.

        Raises:
            JournalError: it was not taken; an outcome is written as soon as the journal takes records again.
        """
        self._owed.append((record, Context(session_id=self._session_id, turn_id=turn_id)))
        try:
            while self._owed:
                owed, context = self._owed[0]
                self._run.append([owed], context)
                del self._owed[0]
        except BaseException:
            if self._owed[-1][0] is record and type(record) not in FEATURE_CLOSERS:
                self._owed.pop()  # nothing happens for it either
            raise

    def keep(self, text: str) -> str:
        """Put `text` into the content store and return its reference."""
        ref = self.keep_file(text.encode())
        self.spoken.keep(ref, text)
        return ref

    def keep_file(self, data: bytes) -> str:
        """Put what is no text into the content store and return its reference."""
        return self._content.put(data, subject=self._session_id, retention=Retention.SESSION)
