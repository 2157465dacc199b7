"""Audio on the wire: cut into any pieces it is the same sound; and how much nonsense a session bears."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_adapters.malformed import MALFORMED_MAX, WITHIN_S, Patience
from agentfield_adapters.media.g711 import A_LAW, MU_LAW
from agentfield_adapters.openai import wire_audio
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.ports import AudioFormat

PIECES = st.lists(st.binary(max_size=9), min_size=4, max_size=40)
G711 = [AudioFormat.G711_ULAW, AudioFormat.G711_ALAW]


def decoded(audio_format: AudioFormat, pieces: list[bytes]) -> list[bytes]:
    decoder = wire_audio.decoder(audio_format)
    return [*(decoder.decoded(piece) for piece in pieces), decoder.rest()]


@given(PIECES)
def test_pcm_in_any_pieces_is_the_same_samples(pieces: list[bytes]) -> None:
    data, sound = b"".join(pieces), decoded(AudioFormat.PCM16, pieces)
    assert b"".join(sound) == data[: len(data) & ~1]
    assert not any(len(piece) % 2 for piece in sound)


@given(PIECES, st.sampled_from(G711))
def test_g711_in_any_pieces_is_the_same_sound_and_as_long(
    pieces: list[bytes], audio_format: AudioFormat
) -> None:
    """Of 5 ms and more; the resampler makes nothing of less than its own filter is long."""
    pieces = [bytes(40), *pieces]
    data, sound = b"".join(pieces), b"".join(decoded(audio_format, pieces))
    assert sound == b"".join(decoded(audio_format, [data]))
    assert len(sound) == len(data) * 6


@pytest.mark.parametrize("audio_format", G711, ids=[audio_format.value for audio_format in G711])
def test_what_is_sent_as_g711_is_what_was_said(audio_format: AudioFormat) -> None:
    at = np.arange(24_000)
    pcm = (np.sin(at * (2 * np.pi * 500 / 24_000)) * 9000).astype("<i2").tobytes()
    encoder = wire_audio.encoder(audio_format)
    assert encoder is not None
    sent = b"".join(encoder.encoded(pcm[start : start + 960]) for start in range(0, len(pcm), 960))
    law = MU_LAW if audio_format is AudioFormat.G711_ULAW else A_LAW
    heard = law.decoded(sent).astype(float)[200:-200]
    wanted = np.sin(np.arange(8_000) * (2 * np.pi * 500 / 8_000))[200 : 200 + len(heard)]
    assert np.corrcoef(heard, wanted)[0, 1] > 0.99
    assert wire_audio.bytes_per_ms(audio_format) == 8
    assert wire_audio.encoder(AudioFormat.PCM16) is None


def test_g711_without_its_codecs_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(package: str) -> None:
        """No package is installed."""

    monkeypatch.setattr(wire_audio, "find_spec", nothing)
    for make in (wire_audio.encoder, wire_audio.decoder):
        with pytest.raises(ProviderError, match="pip install") as raised:
            make(AudioFormat.G711_ULAW)
        assert raised.value.reason is Reason.INVALID_REQUEST


@given(st.lists(st.sampled_from([0.0, 1.0, 5.0, 6.5, 20.0, 61.0]), min_size=5, max_size=25))
def test_ten_malformed_events_within_a_minute_are_the_end_and_nine_are_not(gaps_s: list[float]) -> None:
    patience, at_s, now_s = Patience(), list[float](), 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        at_s.append(now_s)
        lately = [then_s for then_s in at_s[-MALFORMED_MAX:] if now_s - then_s < WITHIN_S]
        loss = patience.wear(now_s)
        assert (loss is not None) == (len(lately) == MALFORMED_MAX)
        assert loss is None or (loss.reason, loss.retryable) == (Reason.PROTOCOL, False)


@pytest.mark.parametrize("audio_format", G711, ids=lambda audio_format: audio_format.value)
def test_half_a_sample_is_refused_and_nothing_of_it_is_kept(audio_format: AudioFormat) -> None:
    hurt, whole = wire_audio.encoder(audio_format), wire_audio.encoder(audio_format)
    assert hurt is not None and whole is not None
    with pytest.raises(ProviderError) as refused:
        hurt.encoded(bytes(7))
    assert refused.value.reason is Reason.INVALID_REQUEST
    assert hurt.encoded(bytes(960)) == whole.encoded(bytes(960))
