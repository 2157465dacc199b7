"""What is said of an environment that no server can be started with."""

from pathlib import Path
from typing import Any

import pytest

from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.settings import read_settings
from tests.cli.conftest import af

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AGENTFIELD_RT_PUBLIC_URL", f"http://{SECRET}", "AGENTFIELD_RT_PUBLIC_URL: "),
        ("AGENTFIELD_RT_PHONE_TARGETS", f'{{"{SECRET}": 5}}', "AGENTFIELD_RT_PHONE_TARGETS: "),
        ("AGENTFIELD_RT_PHONE_TARGETS", f"+1:{SECRET}", "for AGENTFIELD_RT_PHONE_TARGETS: it takes JSON"),
        ("AGENTFIELD_RT_ICE_URLS", f'["{SECRET}", "{SECRET}"]', "AGENTFIELD_RT_ICE_URLS: "),
        ("AGENTFIELD_RT_ICE_URLS", f"stun:{SECRET}", "for AGENTFIELD_RT_ICE_URLS: it takes JSON"),
        ("AGENTFIELD_RT_ICE_URLS", f'["turn:{SECRET}"]', "AGENTFIELD_RT_TURN_SECRET"),
        ("AGENTFIELD_RT_ICE_RELAY_ONLY", "true", "ice_relay_only needs a TURN server"),
        ("AGENTFIELD_RT_LOCAL_WEBHOOK_SECRET", SECRET, "AGENTFIELD_RT_LOCAL_WEBHOOK_SECRET: "),
        ("OPENAI_WEBHOOK_SECRET", SECRET, "for OPENAI_WEBHOOK_SECRET: "),
    ],
    ids=lambda value: value.replace(SECRET, "x") if isinstance(value, str) else None,
)
def test_a_setting_that_is_not_usable_is_the_user_s_fault_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(Failure) as refused:
        read_settings(host=None, port=None, data=None)
    assert refused.value.exit_code is ExitCode.USER
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


def test_all_settings_are_shown_with_their_origin_and_no_secret(tmp_path: Path) -> None:
    config = tmp_path / "plane.toml"
    config.write_text("port = 81\n")
    given: dict[str, Any] = {
        "OPENAI_API_KEY": SECRET,
        "AGENTFIELD_RT_API_KEYS": f'{{"web": "{SECRET}-{SECRET}-{SECRET}"}}',
    }
    shown = af("settings", "--config", config, "--json", **given)
    assert SECRET not in shown.out + shown.err
    rows = {row["name"]: row for row in shown.json["settings"]}
    assert (rows["port"]["value"], rows["port"]["origin"]) == (81, str(config))
    assert rows["openai_api_key"]["value"] == "********"
    assert rows["api_keys"]["value"] == {"web": "********"}
    assert all(row["meaning"] for row in rows.values())
    table = af("settings", "--config", config, **given)
    assert "OPENAI_API_KEY" in table.out
    assert SECRET not in table.out
