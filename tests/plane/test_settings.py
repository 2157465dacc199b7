"""Where settings come from, what wins, and what is refused before a server starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from agentfield_rt.config import Settings, UnusableSource, origins

SECRET = "hunter2-hunter2"


def test_what_is_given_wins_over_the_environment_that_over_secrets_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openai_api_key").write_text("sk-of-a-file\n")
    (tmp_path / "agentfield_rt_turn_secret").write_text(SECRET)
    config = tmp_path / "plane.toml"
    config.write_text(
        'port = 1\nsessions_max = 7\nhosts = ["a", "b"]\nopenai_api_key = "sk-of-toml"\n'
        'OPENAI_BASE_URL = "https://realtime.example.com/v1/"\n[phone_targets]\n"*" = "desk.phone"\n'
    )
    monkeypatch.setenv("AGENTFIELD_RT_CONFIG", str(config))
    monkeypatch.setenv("AGENTFIELD_RT_SECRETS", str(tmp_path))
    monkeypatch.setenv("AGENTFIELD_RT_PORT", "2")
    settings = Settings()
    assert (settings.port, settings.sessions_max, settings.hosts) == (2, 7, ("a", "b"))
    assert settings.openai_base_url == "https://realtime.example.com/v1"
    assert settings.phone_targets == {"*": "desk.phone"}
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-of-a-file"
    assert settings.turn_secret is not None
    assert settings.turn_secret.get_secret_value() == SECRET
    assert Settings(port=3).port == 3
    places = origins(Settings, {"port": 3})
    assert places["port"] == "command line"
    assert places["sessions_max"] == str(config)
    assert places["openai_api_key"] == f"{tmp_path}/openai_api_key"
    assert places["config"] == "AGENTFIELD_RT_CONFIG"
    assert places["host"] == "default"


def test_a_variable_that_is_no_setting_is_refused_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENTFIELD_RT_SESION_MAX", "3")
    with pytest.raises(
        UnusableSource, match="SESION_MAX, which is no setting; did you mean AGENTFIELD_RT_SESSIONS_MAX"
    ):
        Settings()


def test_a_name_in_the_file_that_is_no_setting_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    config = tmp_path / "plane.toml"
    config.write_text("prot = 1\n")
    with pytest.raises(UnusableSource, match=r"plane\.toml has prot, which is no setting; did you mean port"):
        Settings(config=config)


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "is no file"), (f"port = {SECRET}", "is no TOML"), (f"port = '{SECRET}'", "port")],
)
def test_a_file_that_cannot_be_used_is_named_and_no_value_is_shown(
    tmp_path: Path, text: str | None, said: str
) -> None:
    config = tmp_path / "plane.toml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(ValueError) as refused:
        Settings(config=config)
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"local_url": f"{SECRET}:9000"}, "not the address of a server"),
        ({"local_url": f"http://{SECRET}:many"}, "not the address of a server"),
        ({"local_url": f"http://{SECRET}/v1"}, "without /v1"),
        ({"otlp_endpoint": f"grpc://{SECRET}"}, "not the address of a server"),
        ({"openai_dialect": SECRET}, "openai_dialect"),
        ({"openai_dialect": "azure"}, "OPENAI_BASE_URL has to say where it is"),
        ({"telnyx_public_key": SECRET}, "32 bytes in base64"),
        ({"log_format": SECRET}, "'text' or 'json'"),
        ({"drain_s": -1}, "greater than or equal to 0"),
    ],
    ids=lambda value: value.replace(SECRET, "x") if isinstance(value, str) else None,
)
def test_what_would_fail_at_the_first_call_is_refused_at_the_start(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**given)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
