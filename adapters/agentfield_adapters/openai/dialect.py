"""How servers that speak this protocol differ: addresses, keys, transcription. Values only."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from agentfield_rt.ports import SessionConfig

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
    """

    name: str
    base_url: str | None
    default_key: str | None
    through_proxy: bool
    model: str
    transcription_model: str | None
    transcription_prompt: Callable[[SessionConfig], str | None]


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
)
