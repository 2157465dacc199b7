"""The ears against the order desk's grammar; `benchmarks/recognition.py` counts more of it."""

from __future__ import annotations

import pytest

from agentfield_adapters.local.ears.recogniser import Recogniser
from benchmarks.recognition import REQUESTS, UNRELATED, heard_as

VOICE = "en-us+f2"


@pytest.mark.asyncio
async def test_most_requests_are_understood_and_most_other_speech_is_rejected() -> None:
    recogniser = Recogniser()
    await recogniser.start()
    try:
        understood = [await heard_as(text, VOICE, recogniser) == [text] for text in REQUESTS[::2]]
        accepted = [any(await heard_as(text, VOICE, recogniser)) for text in UNRELATED[::2]]
    finally:
        await recogniser.stop()
    assert understood.count(True) >= 9
    assert accepted.count(True) <= 1
