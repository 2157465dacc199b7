"""The settings, by what they are about. The text below a setting is its documentation everywhere."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from agentfield_rt.config.group import SettingGroup
from agentfield_rt.config.values import (
    DialectName,
    IceUrl,
    LocalUrl,
    LogFormat,
    LogLevel,
    MemoryUrl,
    PublicUrl,
    ServiceUrl,
    TelnyxKey,
    WebhookKey,
)


class ServerSettings(SettingGroup):
    """The server itself."""

    host: str = "127.0.0.1"
    """The address to listen on."""

    port: int = Field(default=8080, ge=0, le=65535)
    """The port to listen on; 0 takes a free one."""

    data: Path = Path(".agentfield")
    """Where the journal and the content store are."""

    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    """Names this server answers to. Others are refused, which keeps web pages of other origins from reaching
    it by a name of their own."""

    sessions_max: int = Field(default=200, ge=1)
    """Live sessions at once."""

    approver_key: SecretStr | None = None
    """Whoever lists or answers approvals over HTTP must send it as `X-API-Key`; without one, everybody who
    reaches this server may, a session's own caller too."""


class KeepingSettings(SettingGroup):
    """What is kept, how long, and how it can be proved."""

    checkpoints: Path | None = None
    """File for signed checkpoints of the journal, best on another disk; without it they are in the data
    directory."""

    checkpoint_every_s: float = Field(default=60.0, ge=0)
    """A checkpoint is signed at least so often while something is written; 0: never."""

    content_days: int = Field(default=30, ge=0)
    """What was said and passed about is deleted after so many days; 0: never. The journal is kept, with
    references that lead nowhere then."""

    memory_url: MemoryUrl | None = None
    """Where agents' memory is kept, such as `postgresql://user@host/database`; without one, in a file in the
    data directory. It is sealed with keys that are in the data directory either way."""


class ProvidersSettings(SettingGroup):
    """Who listens and speaks. Keys of providers keep the names their vendors gave them."""

    local_url: LocalUrl | None = None
    """A local provider that runs already; without it one is started when it is needed."""

    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    """The key for `provider=openai`."""

    openai_base_url: ServiceUrl | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    """Another server that speaks OpenAI's realtime protocol, with its `/v1`."""

    openai_dialect: DialectName | None = None
    """How the server at `OPENAI_BASE_URL` differs from OpenAI's: `azure`, `compatible`, `compatible_beta`."""

    openrouter_api_key: SecretStr | None = Field(default=None, validation_alias="OPENROUTER_API_KEY")
    """The key for `provider=openrouter`."""

    openrouter_base_url: ServiceUrl | None = Field(default=None, validation_alias="OPENROUTER_BASE_URL")
    """Any server that speaks chat completions with audio."""

    strict_events: bool = False
    """A provider's event that its protocol does not have counts as malformed, ten of which in a minute end a
    session. Otherwise it is passed over."""

    @model_validator(mode="after")
    def _require_the_dialect_s_server(self) -> Self:
        if self.openai_dialect not in (None, "openai") and self.openai_base_url is None:
            raise ValueError(
                "openai_dialect is of another server than OpenAI's: OPENAI_BASE_URL has to say where it is"
            )
        return self


class CallerSettings(SettingGroup):
    """How callers reach a session: by phone, over WebRTC."""

    openai_webhook_secret: WebhookKey | None = Field(default=None, validation_alias="OPENAI_WEBHOOK_SECRET")
    """With what OpenAI signs the webhooks that tell of phone calls; without one they are refused."""

    local_webhook_secret: WebhookKey | None = None
    """The same for a provider on this machine."""

    phone_targets: dict[str, str] = Field(default_factory=dict[str, str])
    """Which session answers a phone call, by the number called; `*` answers all others."""

    public_url: PublicUrl | None = None
    """Where phone vendors reach this server, such as `https://voice.example.com`: their requests are signed
    for addresses below it. Under its name nothing is served but what checks signatures."""

    twilio_auth_token: SecretStr | None = Field(default=None, validation_alias="TWILIO_AUTH_TOKEN")
    """With what Twilio signs; without it, its calls are refused."""

    telnyx_public_key: TelnyxKey | None = Field(default=None, validation_alias="TELNYX_PUBLIC_KEY")
    """By what Telnyx' signatures are checked; without it, its calls are refused."""

    ice_urls: tuple[IceUrl, ...] = ()
    """STUN and TURN servers for calls over WebRTC, such as `stun:host:3478`, `turns:host:5349` or
    `turn:host:3478?transport=udp`. None by default: not even a public one is asked for our address."""

    turn_secret: SecretStr | None = None
    """What a TURN server shares with us, to take the credentials we give out for a short while."""

    ice_relay_only: bool = False
    """Calls over WebRTC go through a TURN server only."""

    ice_private_addresses: bool = False
    """Callers over WebRTC may have us send to addresses of private networks; needed only where they cannot
    send to us first."""

    @model_validator(mode="after")
    def _require_what_turn_needs(self) -> Self:
        has_turn = any(url.startswith("turn") for url in self.ice_urls)
        if has_turn and self.turn_secret is None:
            raise ValueError(
                "a TURN server in ice_urls needs AGENTFIELD_RT_TURN_SECRET, which it shares with us"
            )
        if self.ice_relay_only and not has_turn:
            raise ValueError("ice_relay_only needs a TURN server in ice_urls")
        return self


class OperationSettings(SettingGroup):
    """How whoever operates it watches it and stops it."""

    log_format: LogFormat = "text"
    """`text` for people, `json` for a line of JSON each. Logs go to stderr; what was said is in none."""

    log_level: LogLevel = "warning"
    """The least that is logged. `info` has a line for each request and each session that begins or ends."""

    metrics: bool = True
    """Serve `/metrics` for Prometheus, if `prometheus-client` is installed."""

    otlp_endpoint: ServiceUrl | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where traces and metrics are sent with OpenTelemetry's protocol over HTTP, such as
    `http://127.0.0.1:4318`; without it, nowhere. Its other variables (`OTEL_…`) mean what they always do."""

    drain_s: float = Field(default=30.0, ge=0, le=86_400)
    """How long live calls and executions may take to end after SIGTERM; what is left then is ended. A second
    signal, or Ctrl-C, ends it at once."""
