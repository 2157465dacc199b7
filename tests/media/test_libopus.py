"""libopus through our own few declarations, with PyAV's codec contexts as the judge of both directions."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfield_adapters.media.libopus import Decoder, Encoder, OpusError

RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50
FRAMES = 100

Samples = npt.NDArray[np.int16]


def voiced(rate_hz: int = RATE_HZ, frames: int = FRAMES) -> list[bytes]:
    """A vowel that never ends: harmonics of 140 Hz, so that each frame is foretold by the last."""
    at_s = np.arange(frames * rate_hz // 50) / rate_hz
    waves = [np.sin(2 * np.pi * 140 * order * at_s) / order for order in range(1, 15)]
    pcm: Samples = (np.sum(waves, axis=0) * 6_000).astype(np.int16)
    return [part.tobytes() for part in pcm.reshape(frames, -1)]


def packets(frames: list[bytes], *, loss_percent: int = 0) -> list[bytes]:
    encoder = Encoder(rate_hz=RATE_HZ)
    encoder.expect_loss(loss_percent)
    return [encoder.encoded(frame) for frame in frames]


def samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, dtype=np.int16)


def likeness(one: bytes, other: bytes) -> float:
    """1 for the same sound however loud and up to 20 ms late, near 0 for an unrelated one."""
    first, second = samples(one).astype(float), samples(other).astype(float)
    length = len(first) - FRAME_SAMPLES
    cuts = (second[late : late + length] for late in range(FRAME_SAMPLES))
    head = first[:length]
    return max(float(head @ cut / (np.linalg.norm(head) * np.linalg.norm(cut))) for cut in cuts)


def loudness(pcm: bytes) -> float:
    return float(np.sqrt(np.mean(samples(pcm).astype(float) ** 2)))


def test_speech_comes_back_as_it_was_said() -> None:
    said = voiced()
    decoder = Decoder(rate_hz=RATE_HZ)

    heard = [decoder.decoded(packet) for packet in packets(said)]

    assert {len(pcm) for pcm in heard} == {FRAME_SAMPLES * 2}
    assert likeness(b"".join(said[10:]), b"".join(heard[10:])) > 0.75


def test_pyav_hears_what_we_encode() -> None:
    said = voiced()
    codec: Any = av.CodecContext.create("libopus", "r")
    codec.sample_rate, codec.format, codec.layout = 48_000, "s16", "mono"

    frames: list[Any] = [frame for packet in packets(said) for frame in codec.decode(av.Packet(packet))]

    heard: Samples = np.concatenate([frame.to_ndarray()[0][::2] for frame in frames])
    assert likeness(b"".join(said[10:]), heard[10 * FRAME_SAMPLES :].tobytes()) > 0.75


def test_we_hear_what_pyav_encodes_at_another_rate_and_in_stereo() -> None:
    said = voiced(48_000)
    codec: Any = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.format, codec.layout, codec.bit_rate = 48_000, "s16", "stereo", 96_000
    decoder = Decoder(rate_hz=RATE_HZ)

    heard = b""
    for number, pcm in enumerate(said):
        frame = av.AudioFrame.from_ndarray(np.repeat(samples(pcm), 2)[np.newaxis, :], "s16", "stereo")
        frame.sample_rate, frame.pts = 48_000, number * 960
        heard += b"".join(decoder.decoded(bytes(packet)) for packet in codec.encode(frame))

    halved = samples(b"".join(said))[::2]
    assert likeness(halved[4_800:].tobytes(), heard[9_600:]) > 0.75


def test_a_lost_packet_is_made_up_for_with_the_sound_that_was() -> None:
    decoder = Decoder(rate_hz=RATE_HZ)
    heard = [decoder.decoded(packet) for packet in packets(voiced())[:50]]

    made_up = decoder.concealed(20)

    assert len(made_up) == FRAME_SAMPLES * 2
    assert loudness(made_up) > 0.5 * loudness(heard[-1])


def copies(sent: list[bytes]) -> int:
    """How many packets tell more of the one before, had it been lost, than a guess does."""
    found = 0
    for lost in range(10, 40):
        recovering, guessing = Decoder(rate_hz=RATE_HZ), Decoder(rate_hz=RATE_HZ)
        for packet in sent[:lost]:
            recovering.decoded(packet)
            guessing.decoded(packet)
        found += recovering.recovered(sent[lost + 1], 20) != guessing.concealed(20)
    return found


def test_a_packet_carries_a_copy_of_the_one_before_where_loss_is_expected() -> None:
    rising = np.tile(np.linspace(0.02, 1, 10 * FRAME_SAMPLES), FRAMES // 10)  # syllables, or it is no speech
    syllables = [
        (samples(pcm) * rising[at * FRAME_SAMPLES :][:FRAME_SAMPLES]).astype(np.int16).tobytes()
        for at, pcm in enumerate(voiced())
    ]

    assert copies(packets(syllables, loss_percent=10)) > 10
    assert copies(packets(syllables, loss_percent=0)) == 0


@given(st.binary(max_size=200))
def test_whatever_comes_over_the_wire_is_sound_or_an_error(payload: bytes) -> None:
    decoder = Decoder(rate_hz=RATE_HZ)

    for recovers in (False, True):
        try:
            pcm = decoder.recovered(payload, 20) if recovers else decoder.decoded(payload)
        except OpusError:
            continue
        assert 0 < len(pcm) <= RATE_HZ * 120 // 1000 * 2

    assert len(decoder.decoded(packets(voiced(frames=1))[0])) == FRAME_SAMPLES * 2


@pytest.mark.parametrize("size", [0, 958, 962, 1_920], ids=str)
def test_a_frame_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="20 ms are 960 bytes"):
        Encoder(rate_hz=RATE_HZ).encoded(bytes(size))


def test_a_rate_that_opus_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="not 44100"):
        Decoder(rate_hz=44_100)
