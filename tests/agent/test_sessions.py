"""Declaring sessions: what is refused, in AgentField's words, and what the provider is told."""

from typing import Any

import pytest

from agentfield_rt import Agent, RealtimeSession, UnsupportedTransport
from agentfield_rt.turn_detection import InvalidTurnDetection


async def handler(session: RealtimeSession) -> None: ...


PAIR: dict[str, Any] = {"provider": "local", "transport": "webrtc"}


def declare(**options: Any) -> Agent:
    app = Agent("desk")
    app.session("voice", **(PAIR | options))(handler)
    return app


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"provider": ""}, "Session provider is required; AgentField does not infer providers."),
        ({"transport": " "}, "Session transport is required; AgentField does not infer transports."),
        (
            {"provider": "acme"},
            "Unknown session provider 'acme'. Known providers: local, openai, openrouter. "
            "Register provider capabilities before using a custom session provider.",
        ),
        (
            {"provider": "openrouter", "transport": "webrtc"},
            "Unsupported session transport 'webrtc' for provider 'openrouter'. "
            "Supported transports: audio_turns. AgentField does not infer or switch "
            "providers; set provider and transport explicitly.",
        ),
    ],
)
def test_a_pair_that_does_not_exist_is_refused_in_agentfields_words(
    options: dict[str, str], says: str
) -> None:
    with pytest.raises(UnsupportedTransport) as caught:
        declare(**options)
    assert str(caught.value) == says


def test_provider_and_transport_are_normalised() -> None:
    session = declare(provider=" OpenAI ", transport="WebRTC").sessions["voice"]
    assert (session.provider, session.transport) == ("openai", "webrtc")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"type": "vad"}, "turn_detection.type must be server_vad, semantic_vad, or none"),
        ({"type": "none", "threshold": 0.5}, "turn_detection.threshold is unsupported for none"),
        ({"idle_timeout_ms": 5000}, "turn_detection.idle_timeout_ms is unsupported for server_vad"),
        ({"volume": 1}, "turn_detection.volume is unsupported for server_vad"),
        ({"threshold": 2}, "turn_detection.threshold must be a finite number between 0 and 1"),
        ({"threshold": True}, "turn_detection.threshold must be a finite number between 0 and 1"),
        ({"threshold": float("nan")}, "turn_detection.threshold must be a finite number between 0 and 1"),
        ({"silence_duration_ms": -1}, "turn_detection.silence_duration_ms must be a non-negative integer"),
        ({"silence_duration_ms": 1.5}, "turn_detection.silence_duration_ms must be a non-negative integer"),
        ({"create_response": "yes"}, "turn_detection.create_response must be a boolean"),
        (
            {"type": "semantic_vad", "threshold": 0.5},
            "turn_detection.threshold is unsupported for semantic_vad",
        ),
        (
            {"type": "semantic_vad", "eagerness": "very"},
            "turn_detection.eagerness must be auto, low, medium, or high",
        ),
    ],
)
def test_turn_detection_is_checked_member_by_member(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidTurnDetection) as caught:
        declare(turn_detection=given)
    assert str(caught.value) == says


def test_turn_detection_is_for_realtime_transports_only() -> None:
    with pytest.raises(
        InvalidTurnDetection, match="requires provider=openai and transport=webrtc or websocket"
    ):
        declare(provider="openrouter", transport="audio_turns", turn_detection={"threshold": 0.5})


@pytest.mark.parametrize(
    ("given", "complete"),
    [
        (
            None,
            {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500},
        ),
        (
            {"silence_duration_ms": 320},
            {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 320},
        ),
        ({"type": "semantic_vad"}, {"type": "semantic_vad", "eagerness": "auto"}),
    ],
    ids=["nothing", "a part", "semantic"],
)
def test_turn_detection_is_completed(given: dict[str, Any] | None, complete: dict[str, Any]) -> None:
    detection = declare(turn_detection=given).sessions["voice"].config.turn_detection
    assert detection == {**complete, "create_response": False, "interrupt_response": True}


def test_push_to_talk_is_for_every_pair() -> None:
    for pair in (
        {"provider": "openai", "transport": "websocket"},
        {"provider": "openrouter", "transport": "audio_turns"},
    ):
        session = declare(**pair, turn_detection={"type": "none"}).sessions["voice"]
        assert session.config.turn_detection is None


def test_the_handler_answers_so_the_model_does_not() -> None:
    detection = declare(turn_detection={"create_response": True}).sessions["voice"].config.turn_detection
    assert detection is not None
    assert detection.get("create_response") is False
    assert detection == declare().sessions["voice"].config.turn_detection


def test_a_session_name_is_taken_once() -> None:
    app = declare()
    with pytest.raises(ValueError, match="desk has a session 'voice' already"):
        app.session("voice", provider="local", transport="webrtc")(handler)
