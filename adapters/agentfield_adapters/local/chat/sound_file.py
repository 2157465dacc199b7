"""Sound files to what the ears use, and what the ears make of them."""

from __future__ import annotations

import asyncio
import io
import logging
import wave

import numpy as np

from agentfield_adapters.local.conversation.conversation import Senses
from agentfield_adapters.local.ear_rate import EAR_RATE_HZ, EarResampler
from agentfield_adapters.local.ears.frames import Recognised
from agentfield_adapters.local.ears.grammar import EVERYDAY, GRAMMAR_CHARACTERS_MAX, is_jsgf
from agentfield_adapters.local.ears.listener import COMMIT_MS_MIN, RECOGNISE_S_MAX, TURN_BYTES_MAX, Heard
from agentfield_adapters.local.ears.recogniser import EarsFailed, GrammarRefused
from agentfield_adapters.local.protocol.validation import Refusal

_log = logging.getLogger(__name__)

_BYTES_A_MS = EAR_RATE_HZ * 2 // 1000
_RATE_HZ_MIN, _RATE_HZ_MAX = 8_000, 48_000


def samples(file: bytes, param: str) -> bytes:
    """Return a WAV file as mono int16 PCM at 16 kHz; of more than a minute, the first.

    Raises:
        Refusal: It is no WAV file of 16-bit samples at 8 to 48 kHz; `param` is named as the culprit.
    """
    try:
        with wave.open(io.BytesIO(file)) as sound:
            channels, width, rate_hz = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            pcm = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError, ValueError, RuntimeError):
        raise Refusal("invalid_value", "The sound is not a WAV file.", param) from None
    if width != 2 or not 1 <= channels <= 2 or not _RATE_HZ_MIN <= rate_hz <= _RATE_HZ_MAX:
        message = "A WAV file needs 16-bit samples, one or two channels, and 8 to 48 kHz."
        raise Refusal("invalid_value", message, param)
    frames = np.frombuffer(pcm[: len(pcm) // (2 * channels) * 2 * channels], dtype="<i2")
    mono = frames.reshape(-1, channels).astype(np.int32).mean(axis=1).astype(np.int16)
    return EarResampler(rate_hz).resampled(mono)[:TURN_BYTES_MAX]


async def heard(senses: Senses, pcm: bytes, *, grammar: str | None, param: str) -> Heard | None:
    """Return what a turn was, mono int16 PCM at 16 kHz, or None when it is shorter than 100 ms.

    Args:
        grammar: JSGF; anything else leaves the everyday sentences.
        param: Named as the culprit if the grammar cannot be used.

    Raises:
        Refusal: The grammar cannot be used.
    """
    wanted = grammar if grammar is not None and is_jsgf(grammar) else EVERYDAY
    if len(wanted) > GRAMMAR_CHARACTERS_MAX:
        raise Refusal("invalid_value", f"A grammar has at most {GRAMMAR_CHARACTERS_MAX} characters.", param)
    if len(pcm) < COMMIT_MS_MIN * _BYTES_A_MS:
        return None
    recognised: Recognised | None = None
    ear = senses.recogniser.ear(lambda words: None)
    try:
        await ear.expect(wanted)
        ear.begin(live=False)
        ear.hear(pcm)
        async with asyncio.timeout(RECOGNISE_S_MAX):
            recognised = await ear.recognise()
    except GrammarRefused as error:
        raise Refusal("invalid_value", f"The grammar is refused: {error}.", param) from error
    except (EarsFailed, TimeoutError):
        _log.warning("a sound is not recognised")
    finally:
        senses.recogniser.forget(ear)
    return Heard(recognised, len(pcm) // _BYTES_A_MS)
