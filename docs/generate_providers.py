"""Writes reference/providers.md from the adapters' own tables, so that the page cannot disagree with them."""

from collections.abc import Iterable
from pathlib import Path

from agentfield_adapters.malformed import MALFORMED_MAX, WITHIN_S
from agentfield_adapters.openai import connection, dialing, expiry, interruption, stalls
from agentfield_adapters.openai.dialect import DIALECTS, LOCAL, Dialect
from agentfield_adapters.openai.failures import CODES, Severity
from agentfield_rt.frames import IMAGE_BYTES_MAX
from agentfield_rt.registry import TRANSPORTS

PAGE = Path(__file__).parent / "reference" / "providers.md"

_HEAD = """# What each provider can

Generated from the adapters' tables by `docs/generate_providers.py`.

A session names its provider and its transport, and nothing is inferred. What a pair cannot do it refuses
with a typed error that says what would work, before anything is sent.
"""

SOCKET, CALL, TURNS = "websocket", "webrtc", "audio_turns"
_CAN = {
    "audio goes": {
        SOCKET: "through this process, in events",
        CALL: "between the caller and the provider",
        TURNS: "through this process, in requests",
    },
    "audio formats": {
        SOCKET: "`pcm16`, `g711_ulaw`, `g711_alaw`, each way",
        CALL: "negotiated by SDP",
        TURNS: "`pcm16`",
    },
    "turns end by": {
        SOCKET: "`server_vad`, `semantic_vad`, `TurnEndFrame`",
        CALL: "`server_vad`, `semantic_vad`, `TurnEndFrame`",
        TURNS: "a detector on this machine, `TurnEndFrame`, the next text or answer",
    },
    "text, tools": dict.fromkeys((SOCKET, CALL, TURNS), "yes"),
    "pictures": {SOCKET: "PNG, JPEG", CALL: "PNG, JPEG", TURNS: "no"},
    "what was heard is known from": {
        SOCKET: "our playback; the conversation is cut to it",
        CALL: "the provider, which plays",
        TURNS: "our playback; the conversation is ours",
    },
    "user's words": {SOCKET: "transcription", CALL: "transcription", TURNS: "a second request"},
    "costs": {
        SOCKET: "of each answer and transcription",
        CALL: "of each answer and transcription",
        TURNS: "of each answer",
    },
    "rate limits": {SOCKET: "told", CALL: "told", TURNS: "only when they are met"},
    "phone calls": {
        SOCKET: "of media streams, through this process",
        CALL: "those that ring at the provider: answered, refused, handed on (SIP)",
        TURNS: "of media streams, through this process",
    },
    "a lost connection": {
        SOCKET: "is replaced; the new one is told what was heard",
        CALL: "the call goes on and is joined again",
        TURNS: "there is none between turns",
    },
    "an hour is over": {
        SOCKET: "replaced in a pause before",
        CALL: "the call ends",
        TURNS: "there is no session to end",
    },
}

_FLAGS = {
    "key": lambda dialect: "`api-key` header" if dialect.auth == "api-key" else "bearer",
    "key needed": lambda dialect: "yes" if dialect.default_key is None else "no",
    "address": lambda dialect: f"`{dialect.base_url}`" if dialect.base_url else "to be set",
    "WebRTC calls": lambda dialect: _yes(dialect.takes_calls),
    "greeting and `session.updated`": lambda dialect: "required" if dialect.greets else "not waited for",
    "whose answer it is": lambda dialect: "`metadata`" if dialect.echoes_metadata else "the next to begin",
    "ids of items": lambda dialect: "ours" if dialect.keeps_item_ids else "the server's",
    "answers are cut to what was heard": lambda dialect: _yes(dialect.truncates),
    "beta protocol": lambda dialect: dialect.beta,
    "life of a session": lambda dialect: (
        "as the server says"
        if dialect.lifetime_s is None
        else f"{dialect.lifetime_s // 60} min, or as the server says"
    ),
}


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, _pairs(), _bounds(), _dialects(), _errors()])


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = list(head)
    lines = ["| " + " | ".join(cells) + " |", "| --- " * len(cells) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def _pairs() -> str:
    transports = sorted({transport for named in TRANSPORTS.values() for transport in named})
    who = {
        transport: ", ".join(f"`{provider}`" for provider, named in TRANSPORTS.items() if transport in named)
        for transport in transports
    }
    head = ["", *(f"`{transport}`" for transport in transports)]
    rows = [["providers", *(who[transport] for transport in transports)]]
    rows += [[what, *(can[transport] for transport in transports)] for what, can in _CAN.items()]
    note = (
        "Within the runtime audio is always mono int16 PCM at 24 kHz. G.711 is made and read at the edge of\n"
        "the adapter, so windows, digests, recordings and what was heard mean the same whatever is spoken.\n"
    )
    return "\n".join(["## Pairs", "", _table(head, rows), note])


def _bounds() -> str:
    rows = [
        ["a frame of the provider", f"{dialing.FRAME_BYTES_MAX // 2**20} MiB", "the connection is lost"],
        ["opening the socket", f"{dialing.OPEN_S:.0f} s", "`ProviderError` timeout"],
        ["`session.created`, `session.updated`", f"{connection.ANSWER_S:.0f} s", "`ProviderError` timeout"],
        ["taking what is sent", f"{connection.SEND_S:.0f} s", "the connection is lost"],
        [
            "answering a ping",
            f"{dialing.PING_EVERY_S + dialing.PONG_WITHIN_S:.0f} s after it fell silent",
            "the connection is lost",
        ],
        ["confirming an interruption", f"{interruption.CONFIRM_S:.0f} s a step", "`ProviderError` timeout"],
        [
            "an answer of which nothing comes",
            f"asked after within {2 * stalls.STALLED_S:.0f} s",
            "it ends; a provider that does not even say so is lost",
        ],
        [
            "malformed events",
            f"{MALFORMED_MAX} in {WITHIN_S:.0f} s",
            "each is noticed and skipped; the tenth ends the session",
        ],
        ["a picture", f"{IMAGE_BYTES_MAX // 2**20} MiB", "refused"],
        [
            "the age of a session",
            f"told {expiry.AHEAD_S / 60:.0f} min before",
            "replaced in the next pause; otherwise when it ends",
        ],
    ]
    return "\n".join(["## Bounds", "", _table(["of", "at most", "beyond that"], rows)])


def _dialects() -> str:
    dialects: list[Dialect] = [*DIALECTS.values(), LOCAL]
    rows = [[what, *(told(dialect) for dialect in dialects)] for what, told in _FLAGS.items()]
    note = (
        "`AGENTFIELD_RT_OPENAI_DIALECT` names the one of the server at `OPENAI_BASE_URL`; `local` is always\n"
        "the provider of this machine. See [another server](../how-to/use-another-server.md).\n"
    )
    return "\n".join(
        ["## Dialects", "", _table(["", *(f"`{dialect.name}`" for dialect in dialects)], rows), note]
    )


def _errors() -> str:
    words = {
        Severity.BENIGN: "the session goes on; a notice",
        Severity.RETRY: "the answer has failed, for this reason; it may be asked for again",
        Severity.PLANNED: "the connection is replaced",
        Severity.FATAL: "the session ends",
    }
    rows = [
        [f"`{code}`", severity.value, f"`{reason.value}`", words[severity]]
        for code, (severity, reason) in CODES.items()
    ]
    rows.append(["any other", Severity.BENIGN.value, "", words[Severity.BENIGN]])
    return "\n".join(
        [
            "## Errors",
            "",
            "What an `error` event, or the `status_details` of a response, means. A `session.update` that",
            "is refused is a failed start whatever the code: a session would go on without its instructions.",
            "",
            _table(["code", "severity", "reason", "so"], rows),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
