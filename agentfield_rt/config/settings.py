"""Settings of a control plane, from the environment or from code."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agentfield_rt.webhooks import WebhookSecret

IceUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^(stuns?:[^\s?:]+(:\d{1,5})?|turns?:[^\s?:]+(:\d{1,5})?(\?transport=(udp|tcp))?)$",
        max_length=256,
    ),
]
"""The address of a STUN (RFC 7064) or TURN server (RFC 7065)."""


def _checked_webhook_key(key: SecretStr) -> SecretStr:
    WebhookSecret(key.get_secret_value())
    return key


WebhookKey = Annotated[SecretStr, AfterValidator(_checked_webhook_key)]
"""`whsec_` and base64 (`WebhookSecret`)."""

PublicUrl = Annotated[
    str, StringConstraints(pattern=r"^https://[\w.-]+(:\d{1,5})?(/[\w./-]*)?$", max_length=256)
]
"""An address that the internet has for this server; vendors use no other scheme."""


class Settings(BaseSettings):
    """Every setting has an environment variable `AGENTFIELD_RT_…`; keys of providers keep their own names.

    Attributes:
        data: Where the journal and the content store are.
        local_url: A local provider that runs already; without it one is started when it is needed.
        openai_dialect: How the server at `OPENAI_BASE_URL` differs from OpenAI's: `azure`, `compatible` or
            `compatible_beta`.
        openrouter_base_url: Any server that speaks chat completions with audio.
        strict_events: A provider's event that its protocol does not have counts as malformed, ten of which in
            a minute end a session. Otherwise it is passed over.
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
        openai_webhook_secret: With what OpenAI signs the webhooks that tell of phone calls; without one they
            are refused. `local_webhook_secret` does so for a provider on this machine.
        phone_targets: Which session answers a phone call, by the number called; `*` answers all others.
        public_url: Where phone vendors reach this server, such as `https://voice.example.com`: their requests
            are signed for addresses below it. Under its name nothing is served but what checks signatures.
        twilio_auth_token: With what Twilio signs (`TWILIO_AUTH_TOKEN`); without it, its calls are refused.
        telnyx_public_key: By what Telnyx' signatures are checked (`TELNYX_PUBLIC_KEY`).
        ice_urls: STUN and TURN servers for calls over WebRTC, such as `stun:host:3478`, `turns:host:5349` or
            `turn:host:3478?transport=udp`. None by default: not even a public one is asked for our address.
        turn_secret: What a TURN server shares with us, to take the credentials we give out for a short while.
        ice_relay_only: Calls over WebRTC go through a TURN server only.
        ice_private_addresses: Callers over WebRTC may have us send to addresses of private networks; needed
            only where they cannot send to us first.
    """

    model_config = SettingsConfigDict(
        env_prefix="AGENTFIELD_RT_",
        strict=False,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,  # it may be a key
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    data: Path = Path(".agentfield")
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    local_url: str | None = None
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    openai_dialect: str | None = None
    openrouter_api_key: SecretStr | None = Field(default=None, validation_alias="OPENROUTER_API_KEY")
    openrouter_base_url: str | None = Field(default=None, validation_alias="OPENROUTER_BASE_URL")
    strict_events: bool = False
    sessions_max: int = Field(default=200, ge=1)
    checkpoints: Path | None = None
    checkpoint_every_s: float = Field(default=60.0, ge=0)
    approver_key: SecretStr | None = None
    content_days: int = Field(default=30, ge=0)
    openai_webhook_secret: WebhookKey | None = Field(default=None, validation_alias="OPENAI_WEBHOOK_SECRET")
    local_webhook_secret: WebhookKey | None = None
    phone_targets: dict[str, str] = Field(default_factory=dict[str, str])
    public_url: PublicUrl | None = None
    twilio_auth_token: SecretStr | None = Field(default=None, validation_alias="TWILIO_AUTH_TOKEN")
    telnyx_public_key: SecretStr | None = Field(default=None, validation_alias="TELNYX_PUBLIC_KEY")
    ice_urls: tuple[IceUrl, ...] = ()
    turn_secret: SecretStr | None = None
    ice_relay_only: bool = False
    ice_private_addresses: bool = False

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

    @property
    def names(self) -> tuple[str, ...]:
        """`hosts` and the address listened on, as a Host header writes them."""
        return (*self.hosts, f"[{self.host}]" if ":" in self.host else self.host)

    @property
    def public_name(self) -> str | None:
        """The name in `public_url`."""
        return urlsplit(self.public_url).hostname if self.public_url is not None else None
