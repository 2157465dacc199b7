"""A phone call that its handler hands on: announced before, one outcome after, where to only as content."""

from pathlib import Path

import pytest

from agentfield_adapters.local.pytest_plugin import af_provider, af_provider_process
from agentfield_adapters.local.running import LocalProvider
from agentfield_rt import IllegalCommand, ProviderError, RealtimeSession, UnsupportedTransport
from tests.phone.stage import (
    dial,
    kinds,
    plane,
    records,
    session_ids,
    shop,
    until,
)

__all__ = ["af_provider", "af_provider_process"]  # also in an environment older than the plugin


def test_a_call_is_handed_on_with_an_intent_and_an_outcome_and_its_target_is_content(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hands_on(session: RealtimeSession) -> None:
        await session.say("One moment.")
        await session.refer("tel:+15550123")

    with plane(tmp_path, monkeypatch, af_provider, agent=shop(hands_on)) as server:
        phone = dial(af_provider, server)
        (session_id,) = session_ids(server)
        found = records(server, session_id, until="session_ended")
        told = until(phone, "referred")
    requested, done = [record for record in found if "refer" in record["kind"]]
    assert (requested["kind"], done["kind"]) == ("realtime_refer_requested", "realtime_referred")
    assert requested["content"][requested["data"]["target_ref"]] == "tel:+15550123"
    assert told["referred_to"] == "tel:+15550123"
    assert found[-1]["data"] == {"reason": "caller_gone"}


@pytest.mark.parametrize(
    ("fault", "not_done", "closer"),
    [
        ("status=404,where=refer", True, "realtime_refer_failed"),
        ("status=504,where=refer", False, "realtime_refer_unknown"),
        ("refuse,where=refer", False, "realtime_refer_unknown"),
    ],
)
def test_a_call_that_could_not_be_handed_on_goes_on_and_its_handler_knows_why(
    fault: str,
    not_done: bool,
    closer: str,
    af_provider: LocalProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[ProviderError] = []

    async def tries(session: RealtimeSession) -> None:
        try:
            await session.refer("tel:+15550123")
        except ProviderError as error:
            raised.append(error)
            await session.say("Nobody is there.")
            await session.refer("tel:+15550123")

    with plane(tmp_path, monkeypatch, af_provider, fault, agent=shop(tries)) as server:
        phone = dial(af_provider, server)
        (session_id,) = session_ids(server)
        found = records(server, session_id, until="session_ended")
        until(phone, "referred")
    assert [error.not_done for error in raised] == [not_done]
    referring = [kind for kind in kinds(found) if "refer" in kind]
    assert referring == ["realtime_refer_requested", closer, "realtime_refer_requested", "realtime_referred"]
    assert "utterance_played" in kinds(found)


NO_ADDRESSES = [
    "",
    "+15550123",
    "tel:",
    "tel:+1555 0123",
    "sip:",
    "sip:a\nb",
    "https://x",
    "sip:<a@b>",
    "tel:" + "1" * 99,
]


def test_what_is_no_address_is_refused_before_anything_is_written(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tries(session: RealtimeSession) -> None:
        for target in NO_ADDRESSES:
            with pytest.raises(IllegalCommand, match="tel:"):
                await session.refer(target)
        await session.close()

    with plane(tmp_path, monkeypatch, af_provider, agent=shop(tries)) as server:
        dial(af_provider, server)
        found = records(server, session_ids(server)[0], until="session_ended")
    assert not [kind for kind in kinds(found) if "refer" in kind]
    assert found[-1]["data"] == {"reason": "normal"}


def test_a_session_without_a_telephone_hands_nothing_on(
    af_provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tries(session: RealtimeSession) -> None:
        with pytest.raises(UnsupportedTransport, match="only a phone call"):
            await session.refer("tel:+15550123")
        await session.close()

    with plane(tmp_path, monkeypatch, af_provider, agent=shop(tries, transport="websocket")) as server:
        session_id = server.start("shop.desk")
        server.post(f"/api/v1/session-instances/{session_id}/input", {"text": "hello"})
        found = records(server, session_id, until="session_ended")
    assert found[-1]["data"] == {"reason": "normal"}
