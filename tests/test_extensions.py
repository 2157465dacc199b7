"""What other packages bring is found by name, and what cannot be used says what would help."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

import agentfield_rt
from agentfield_rt import Agent, caller_media, digit_detection, extensions, registry, telephony
from agentfield_rt.agent import hosting
from agentfield_rt.errors import RealtimeError, RecordingUnavailable, UnsupportedTransport
from agentfield_rt.extensions import Extensions, NotInstalled
from agentfield_rt.plane import provider_processes
from agentfield_rt.plane.errors import ProviderUnavailable

Ask = Callable[[], object]

ASKS: dict[str, tuple[Extensions[Any], str, Ask, type[RealtimeError]]] = {
    "an adapter": (
        registry.ADAPTERS,
        "openai/websocket",
        lambda: registry.adapter_factory("openai", "websocket"),
        UnsupportedTransport,
    ),
    "an encoder": (registry.ENCODERS, "ogg_opus", registry.encoder_factory, RecordingUnavailable),
    "WebRTC": (caller_media.MEDIA, "webrtc", caller_media.webrtc_media, UnsupportedTransport),
    "a phone vendor": (
        telephony.VENDORS,
        "twilio",
        lambda: telephony.phone_vendor("twilio", "key"),
        UnsupportedTransport,
    ),
    "a plane": (
        hosting.HOSTS,
        "embedded",
        lambda: hosting.host_agents((), host=None, port=None, data=None),
        RealtimeError,
    ),
}


def install(patch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    """Nothing but these is installed."""

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [each for each in entries if each.group == group and name in (None, each.name)]

    patch.setattr(extensions, "entry_points", entry_points)


def test_what_is_installed_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, EntryPoint("one", "json:loads", "g"), EntryPoint("two", "json:dumps", "g"))
    group = Extensions[Callable[[object], str]]("g")
    assert group.load("two")([1]) == "[1]"
    assert group.value("one") == "json:loads"


def test_what_is_not_installed_is_told_with_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, EntryPoint("two", "json:dumps", "g"), EntryPoint("one", "json:loads", "g"))
    with pytest.raises(NotInstalled) as raised:
        Extensions[object]("g").load("three")
    assert (raised.value.known, raised.value.lacks) == (("one", "two"), None)


def test_what_lacks_a_package_is_told_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, EntryPoint("one", "no_such_module:thing", "g"))
    with pytest.raises(NotInstalled) as raised:
        Extensions[object]("g").load("one")
    assert raised.value.lacks == "no_such_module"
    assert Extensions[object]("g").value("one") == "no_such_module:thing"


@pytest.mark.parametrize("what", ASKS)
def test_whoever_asks_for_what_is_not_there_hears_what_would_work(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extensions_of, name, ask, refusal = ASKS[what]
    install(monkeypatch)
    with pytest.raises(refusal, match="nstalled"):
        ask()
    install(monkeypatch, EntryPoint(name, "no_such_module:thing", extensions_of.group))
    with pytest.raises(refusal, match="pip install"):
        ask()


def test_an_agent_with_a_server_elsewhere_names_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("agentfield_rt.agent.remote.serving", "agentfield_rt.agent.remote_memory"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(RealtimeError, match=r"needs httpx; pip install 'agentfield-rt\[agent\]'"):
        Agent("desk", server="http://127.0.0.1:9").run()


def test_a_name_whose_packages_are_not_installed_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_name: str) -> None:
        raise ModuleNotFoundError(name="httptools")

    monkeypatch.delitem(vars(agentfield_rt), "RealtimeRuntime", raising=False)
    monkeypatch.setattr(agentfield_rt, "import_module", nothing)
    with pytest.raises(ImportError, match=r"RealtimeRuntime needs httptools; pip install"):
        from agentfield_rt import RealtimeRuntime  # noqa: F401 # pyright: ignore[reportUnusedImport]


def test_digits_without_a_detector_come_as_messages_only(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    digit_detection._factory.cache_clear()  # pyright: ignore[reportPrivateUsage]
    assert digit_detection.in_band_detector(8_000) is None
    digit_detection._factory.cache_clear()  # pyright: ignore[reportPrivateUsage]


def test_a_provider_that_nobody_brings_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(ProviderUnavailable, match="pip install"):
        provider_processes.provider_module("local")
