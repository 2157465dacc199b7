"""Settings of a control plane, from the environment or from code."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting has an environment variable `AGENTFIELD_RT_…`; keys of providers keep their own names.

    Attributes:
        data: Where the journal and the content store are.
        local_url: A local provider that runs already; without it one is started when it is needed.
        openrouter_base_url: Any server that speaks chat completions with audio.
        hosts: Names this server answers to. Others are refused, which keeps web pages of other
            origins from reaching it by a name of their own.
        sessions_max: Live sessions at once.
        checkpoints: File for signed checkpoints of the journal, best on another disk; without it they are
            in the data directory.
        checkpoint_every_s: A checkpoint is signed at least so often while something is written; 0: never.
        approver_key: Whoever lists or answers approvals over HTTP must send it as `X-API-Key`; without one,
            everybody who reaches this server may, a session's own caller too.
        content_days: What was said and passed about is deleted after so many days; 0: never. The journal is
            kept, with references that lead nowhere then.
    """

    model_config = SettingsConfigDict(
        env_prefix="AGENTFIELD_RT_", strict=False, extra="forbid", populate_by_name=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    data: Path = Path(".agentfield")
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    local_url: str | None = None
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    openrouter_api_key: SecretStr | None = Field(default=None, validation_alias="OPENROUTER_API_KEY")
    openrouter_base_url: str | None = Field(default=None, validation_alias="OPENROUTER_BASE_URL")
    sessions_max: int = Field(default=200, ge=1)
    checkpoints: Path | None = None
    checkpoint_every_s: float = Field(default=60.0, ge=0)
    approver_key: SecretStr | None = None
    content_days: int = Field(default=30, ge=0)

    @property
    def names(self) -> tuple[str, ...]:
        """`hosts` and the address listened on, as a Host header writes them."""
        return (*self.hosts, f"[{self.host}]" if ":" in self.host else self.host)
