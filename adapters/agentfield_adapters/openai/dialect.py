"""How servers that speak this protocol differ: addresses, keys, habits. Values only."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.ports import ProviderSettings, SessionConfig

_PROMPT_WORDS_MAX = 150
_RULE = re.compile(r"<[^>]*>")
_WORD = re.compile(r"[^\W\d_][\w'-]*")


def jsgf_prompt(config: SessionConfig) -> str | None:
    """The phrases as a JSGF grammar: what this machine's recogniser listens for, and nothing else."""
    if not config.phrases:
        return None
    rules = [f"<{name}> = {expansion};" for name, expansion in config.rules.items()]
    turn = " | ".join(f"({phrase})" for phrase in config.phrases)
    return "\n".join(["#JSGF V1.0;", "grammar session;", f"public <turn> = {turn};", *rules])


def hint_prompt(config: SessionConfig) -> str | None:
    """The words of the phrases as a sentence: a hint for a recogniser that understands everything."""
    text = _RULE.sub(" ", " ".join([*config.phrases, *config.rules.values()]))
    words = list(dict.fromkeys(_WORD.findall(text)))[:_PROMPT_WORDS_MAX]
    return f"The caller is likely to use these words: {', '.join(words)}." if words else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One kind of server.

    Attributes:
        name: The provider, as in `provider/transport`.
        base_url: Where it is unless the settings say otherwise; None if that cannot be known.
        default_key: What is offered when the settings have no API key; None if one must be set.
        through_proxy: Whether the environment's HTTP proxy applies.
        model: What is asked for unless the session says otherwise.
        transcription_model: Who puts the user's words into text; None leaves the choice to the server.
        transcription_prompt: How the session's phrases are told to it.
        auth: How the key is shown: `Authorization: Bearer`, or Azure's `api-key` header.
        takes_calls: It answers WebRTC offers as OpenAI does, so that a call needs no key in the browser.
        greets: It begins with `session.created` and answers each `session.update`; of another server neither
            is insisted on.
        echoes_metadata: A response's events tell the `metadata` it was asked for with. Otherwise the first
            response to begin after a request is taken for its answer.
        keeps_item_ids: It takes the ids a client gives its items.
        truncates: It can forget the part of an answer that nobody heard.
        beta: It speaks as OpenAI did before the protocol was released: older names of events, or a flat
            session object as well.
        lifetime_s: How long it lets a session live, unless the session says so itself; None: for ever.
        where_from: What to do about an address that is missing.
    """

    name: str
    base_url: str | None
    default_key: str | None
    through_proxy: bool
    model: str
    transcription_model: str | None
    transcription_prompt: Callable[[SessionConfig], str | None]
    auth: Literal["bearer", "api-key"] = "bearer"
    takes_calls: bool = True
    greets: bool = True
    echoes_metadata: bool = True
    keeps_item_ids: bool = True
    truncates: bool = True
    beta: Literal["no", "names", "names and session"] = "no"
    lifetime_s: int | None = 3600
    where_from: str = "set its base URL"


OPENAI = Dialect(
    name="openai",
    base_url="https://api.openai.com/v1",
    default_key=None,
    through_proxy=True,
    model="gpt-realtime-2.1",
    transcription_model="gpt-4o-transcribe",
    transcription_prompt=hint_prompt,
)

LOCAL = Dialect(
    name="local",
    base_url=None,
    default_key="local",
    through_proxy=False,
    model="gpt-realtime",
    transcription_model=None,
    transcription_prompt=jsgf_prompt,
    where_from="start one (`af provider`) and set its URL",
)

AZURE = replace(OPENAI, name="azure", base_url=None, auth="api-key", takes_calls=False)
"""Azure OpenAI at `https://NAME.openai.azure.com/openai/v1`; a model is the name of a deployment."""

COMPATIBLE = Dialect(
    name="compatible",
    base_url=None,
    default_key="none",
    through_proxy=True,
    model="gpt-realtime",
    transcription_model=None,
    transcription_prompt=hint_prompt,
    takes_calls=False,
    greets=False,
    echoes_metadata=False,
    keeps_item_ids=False,
    truncates=False,
    beta="names",
    lifetime_s=None,
)
"""Any other server that follows the protocol: nothing is counted on that one of them is known to lack."""

COMPATIBLE_BETA = replace(COMPATIBLE, name="compatible_beta", beta="names and session")

DIALECTS = {dialect.name: dialect for dialect in (OPENAI, AZURE, COMPATIBLE, COMPATIBLE_BETA)}
"""What `ProviderSettings.dialect` may name."""


def dialect_of(settings: ProviderSettings) -> Dialect:
    """The dialect that the settings name; OpenAI's own when they name none.

    Raises:
        ProviderError: there is none of that name.
    """
    dialect = DIALECTS.get(settings.dialect or OPENAI.name)
    if dialect is None:
        raise ProviderError(
            f"no realtime dialect {settings.dialect!r} is known; there are {', '.join(DIALECTS)}",
            reason=Reason.INVALID_REQUEST,
        )
    return dialect
