"""That the benchmark of WebRTC calls still makes calls; what it finds is no test's business."""

import asyncio

import pytest

from benchmarks import webrtc_calls


def test_what_a_call_costs_is_told_of_calls_in_which_everybody_is_heard(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webrtc_calls, "SETTLE_S", 0.5)
    monkeypatch.setattr(webrtc_calls, "MEASURE_S", 1.0)
    monkeypatch.setattr(webrtc_calls, "TRIES", 1)
    asyncio.run(webrtc_calls.compare([webrtc_calls.OURS, webrtc_calls.STOCK], None, calls=2, rounds=1))
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told if "CPU" in line] == [webrtc_calls.OURS, webrtc_calls.STOCK]
