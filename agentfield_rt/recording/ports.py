"""What a recording asks of the outside: an encoder. Shapes only."""

from collections.abc import Callable
from typing import Protocol


class AudioEncoder(Protocol):
    """Encodes one recording. It blocks, and is used by one thread at a time; never by the event loop.

    What it returned until any moment must decode, without what follows: a crash leaves no more than that.
    """

    @property
    def format(self) -> str:
        """The file's format as the journal names it: `ogg_opus`."""
        ...

    def encode(self, caller: bytes, agent: bytes) -> bytes:
        """Take both sides, mono int16 PCM at 24 kHz of one length; return what of the file is complete.

        Raises:
            Exception: it cannot be encoded; the recording is given up.
        """
        ...

    def finish(self) -> bytes:
        """Return the rest of the file. Nothing is asked of this encoder afterwards."""
        ...


EncoderFactory = Callable[[], AudioEncoder]
