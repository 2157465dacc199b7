"""Settings of who may use a control plane, from where, and for how long."""

from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from agentfield_rt.config.group import SettingGroup

KEY_CHARS_MIN = 16

KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""How the journal names a key."""

Origin = Annotated[
    str, StringConstraints(pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$", max_length=256)
]
"""What a browser sends as `Origin`: scheme, name and port, with no path; `*` is none."""


def _long_enough(key: SecretStr) -> SecretStr:
    if not KEY_CHARS_MIN <= len(key.get_secret_value()) <= 256:
        raise ValueError(
            f"an API key has {KEY_CHARS_MIN} to 256 characters; `openssl rand -hex 32` makes one"
        )
    return key


ApiKey = Annotated[SecretStr, AfterValidator(_long_enough)]


class AccessSettings(SettingGroup):
    """Who may use the server."""

    api_keys: dict[KeyName, ApiKey] = Field(default_factory=dict[KeyName, ApiKey])
    """Who may use this server, by a name of yours: `{"web": "…", "agents": "…"}`. A session belongs to the
    key that started it. Without any, everybody who reaches the server may do everything."""

    open_to_network: bool = False
    """Listen on addresses that other machines reach although there are no API keys."""

    cors_origins: tuple[Origin, ...] = ()
    """Pages that may use this server from a browser besides its own, by their exact origin:
    `https://app.example.com`. They need a key or a session's token like everybody else."""

    session_age_max_s: float = Field(default=4 * 3600.0, ge=1, le=7 * 86_400)
    """A session that is older ends by itself, and so does its token."""

    @model_validator(mode="after")
    def _require_different_keys(self) -> Self:
        keys = [key.get_secret_value() for key in self.api_keys.values()]
        if len(set(keys)) < len(keys):
            raise ValueError("two of api_keys are the same key: whose it is could not be said")
        return self
