"""Digits of a caller on their way to the session, whether a message reports them or the tone alone."""

import logging

from agentfield_journal import JournalError
from agentfield_rt.core.records import DigitSource
from agentfield_rt.digit_detection import in_band_detector
from agentfield_rt.errors import RealtimeError
from agentfield_rt.frames import SAMPLE_RATE_HZ
from agentfield_rt.voice.session import VoiceSession

log = logging.getLogger(__name__)


def dialled(session: VoiceSession, digit: str, source: DigitSource = DigitSource.SIGNALLED) -> None:
    """Hand a digit on; one that the session does not take is logged: whoever reports it can do no more."""
    try:
        session.digits.hear(digit, source)
    except (RealtimeError, JournalError) as error:
        log.info("a digit of session %s was not taken: %s", session.session_id, type(error).__name__)


class Tones:
    """Listens for digits in the audio of a caller whose side sends no messages for them."""

    def __init__(self, session: VoiceSession) -> None:
        self._session = session
        self._detector = in_band_detector(SAMPLE_RATE_HZ)

    def heard(self, pcm: bytes) -> None:
        """The caller's audio: mono int16 PCM at 24 kHz."""
        if self._detector is not None:
            for digit in self._detector.push(pcm):
                dialled(self._session, digit, DigitSource.IN_BAND)
