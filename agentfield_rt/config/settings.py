"""All settings as one, and where their values come from."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from agentfield_rt.config.access import AccessSettings
from agentfield_rt.config.agents import AgentsSettings
from agentfield_rt.config.groups import (
    CallerSettings,
    KeepingSettings,
    OperationSettings,
    ProvidersSettings,
    ServerSettings,
)
from agentfield_rt.config.sources import PREFIX, configured_sources


class Settings(
    OperationSettings,
    CallerSettings,
    ProvidersSettings,
    KeepingSettings,
    AgentsSettings,
    AccessSettings,
    ServerSettings,
):
    """Every setting of a control plane.

    What is given here wins over the environment (`AGENTFIELD_RT_…`; what vendors named keeps its name), that
    over files of secrets, that over the configuration file. A name that no setting has is an error.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        strict=False,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,  # it may be a key
    )

    config: Path | None = None
    """A TOML file of settings, by the names they have here."""

    secrets: Path | None = None
    """A directory with a file for each secret, named as its variable in small letters: what systemd's
    `LoadCredential=` and containers make."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(init_settings, InitSettingsSource)
        given: dict[str, Any] = init_settings.init_kwargs  # pyright: ignore[reportUnknownMemberType]
        return (init_settings, *configured_sources(settings_cls, given))

    @property
    def names(self) -> tuple[str, ...]:
        """`hosts` and the address listened on, as a Host header writes them."""
        return (*self.hosts, f"[{self.host}]" if ":" in self.host else self.host)

    @property
    def public_name(self) -> str | None:
        """The name in `public_url`."""
        return urlsplit(self.public_url).hostname if self.public_url is not None else None
