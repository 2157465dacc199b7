"""Who else is told of the audio that windows count. Knows no use for it."""

from collections.abc import Sequence
from typing import Protocol

from agentfield_rt.core.records import Record
from agentfield_rt.frames import AudioFrame, OutputAudio


class MediaTap(Protocol):
    """Is told what a window counts, and then of the window's record. Must neither block nor raise."""

    def sent(self, frame: AudioFrame) -> None:
        """The provider took a frame, in a window."""
        ...

    def received(self, audio: OutputAudio) -> None:
        """Agent audio came, and is delivered."""
        ...

    def recorded(self, appended: Sequence[Record]) -> None:
        """The journal took these records of the session, windows and others."""
        ...
