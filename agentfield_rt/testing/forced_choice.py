"""What a caller heard, as a forced choice between sentences it may have been.

Needs pocketsphinx and soxr. Free recognition of a synthetic voice is a toy; telling a dozen sentences
apart is not.
"""

import importlib
import re
from typing import Any, Final

import numpy as np
import soxr

from agentfield_rt.testing.hearing import Recording, Sound

# It publishes no types; they are confined to this module.
_pocketsphinx: Final[Any] = importlib.import_module("pocketsphinx")

DECODER_RATE_HZ = 16_000
MARGIN_S = 0.2


def heard_sentence(recording: Recording, sound: Sound, choices: list[str]) -> str:
    """The one of `choices` that `sound` is most like; empty when it is like none.

    Raises:
        ValueError: a choice has a word that the dictionary lacks.
    """
    normal = {_words(choice): choice for choice in choices}
    alternatives = " | ".join(normal)
    grammar = f"#JSGF V1.0;\ngrammar replies;\npublic <reply> = {alternatives};\n"
    config = _pocketsphinx.Config(lm=None, loglevel="FATAL", beam=1e-60, samprate=DECODER_RATE_HZ)
    decoder = _pocketsphinx.Decoder(config)
    for word in {word for words in normal for word in words.split()}:
        if decoder.lookup_word(word) is None:
            raise ValueError(f"{word!r} is not in the dictionary; choose sentences without it")
    decoder.add_jsgf_string("replies", grammar)
    decoder.activate_search("replies")
    start = max(0, int((sound.start_s - MARGIN_S) * recording.rate_hz))
    end = int((sound.end_s + MARGIN_S) * recording.rate_hz)
    samples = soxr.resample(recording.heard[start:end], recording.rate_hz, DECODER_RATE_HZ)
    decoder.start_utt()
    decoder.process_raw((samples * 32767).astype(np.int16).tobytes(), False, True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return normal.get(hypothesis.hypstr, "") if hypothesis is not None else ""


def _words(sentence: str) -> str:
    return " ".join(re.findall(r"[a-z']+", sentence.lower()))
