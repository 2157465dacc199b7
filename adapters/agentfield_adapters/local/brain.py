"""What the provider answers. The default brain is deterministic, with rules in plain language.

A brain sees a conversation and returns what to say or call; it must not know how that is spoken or sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from msgspec import UnsetType

from agentfield_adapters.local.protocol.items import (
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    Message,
)
from agentfield_adapters.local.protocol.session import FunctionChoice, FunctionTool, ToolChoice

COUNT_MAX = 200

_EMPTY: dict[str, object] = {"boolean": True, "array": [], "object": {}}
_SAY_EXACTLY = re.compile(r"^\s*say exactly:\s*(?P<words>.+?)\s*$", re.IGNORECASE | re.DOTALL)
_COUNT = re.compile(r"\bcount (?:from 1 )?to (?P<last>\d{1,6})\b", re.IGNORECASE)
_NUMBER = re.compile(r"\b\d{1,9}\b")
_NAME = re.compile(r"(?<!^)(?<![.?!] )\b[A-Z][a-zA-Z]+\b")  # not a word that only begins a sentence


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an answer is made from.

    Attributes:
        instructions: Of this response, or of the session.
        items: The conversation, oldest first.
        heard_s: Seconds of speech in the newest item, for one that was not understood.
    """

    instructions: str
    items: Sequence[Item]
    tools: Sequence[FunctionTool]
    tool_choice: ToolChoice
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Say:
    """Words to speak, or to write in a text answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function to call; `arguments` is JSON text."""

    name: str
    arguments: str


Act = Say | Call


class Brain(Protocol):
    """Decides the answer. Another brain may take its time: it is awaited beside everything else."""

    async def answer(self, prompt: Prompt) -> Sequence[Act]:
        """Return what to do, in order; at least one act."""
        ...


def newest_text(prompt: Prompt) -> str:
    """Return the words of the newest item: what was said or typed, or what a function gave back."""
    newest = prompt.items[-1] if prompt.items else None
    return newest.output if isinstance(newest, FunctionCallOutput) else _text_of(newest)


def is_dictated(prompt: Prompt) -> bool:
    """Return whether the instructions say the answer word by word."""
    return _SAY_EXACTLY.match(prompt.instructions) is not None


class RuleBrain:
    """Answers by rules, so that the same conversation always gets the same answer."""

    async def answer(self, prompt: Prompt) -> Sequence[Act]:
        """Return the one act the rules give for the newest input."""
        if dictated := _SAY_EXACTLY.match(prompt.instructions):
            return [Say(dictated["words"])]
        newest = prompt.items[-1] if prompt.items else None
        text = _text_of(newest)
        if tool := _tool_for(text, prompt, is_output=isinstance(newest, FunctionCallOutput)):
            return [Call(tool.name, _arguments_for(tool, text))]
        if isinstance(newest, FunctionCallOutput):
            return [Say(f"The answer is: {newest.output}")]
        if not text and _shows_a_picture(newest):
            return [Say("I see a picture.")]
        return [Say(_reply_to(text, prompt.heard_s))]


def _text_of(item: Item | None) -> str:
    if not isinstance(item, Message):
        return ""
    parts = (
        part.text if isinstance(part, InputText) else part.transcript or ""
        for part in item.content
        if isinstance(part, InputText | InputAudio)
    )
    return " ".join(part for part in parts if part).strip()


def _shows_a_picture(item: Item | None) -> bool:
    return isinstance(item, Message) and any(isinstance(part, InputImage) for part in item.content)


def _reply_to(text: str, heard_s: float) -> str:
    if dictated := _SAY_EXACTLY.match(text):
        return dictated["words"]
    if count := _COUNT.search(text):
        return ", ".join(str(number) for number in range(1, min(int(count["last"]), COUNT_MAX) + 1)) + "."
    if text:
        return f"You said: {text.rstrip('.')}."
    if heard_s:
        return f"I heard {heard_s:.1f} seconds of audio."
    return "I am listening."


def _tool_for(text: str, prompt: Prompt, *, is_output: bool) -> FunctionTool | None:
    tools = {tool.name: tool for tool in prompt.tools}
    match prompt.tool_choice:
        case FunctionChoice(name=name):
            return tools.get(name)
        case "required":
            return next(iter(tools.values()), None)
        case "none":
            return None
        case _:
            words = _plain(text)
            return None if is_output else next((tools[n] for n in tools if _plain(n) in words), None)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _arguments_for(tool: FunctionTool, text: str) -> str:
    schema = {} if isinstance(tool.parameters, UnsetType) else tool.parameters
    numbers, names = iter(_NUMBER.findall(text)), iter(_NAME.findall(text))
    properties: dict[str, Any] = schema.get("properties") or {}
    wanted = schema.get("required") or list(properties)
    arguments = {key: _argument(properties.get(key) or {}, numbers, names) for key in wanted}
    return msgspec.json.encode(arguments).decode()


def _argument(schema: dict[str, Any], numbers: Iterator[str], names: Iterator[str]) -> object:
    if options := schema.get("enum"):
        return options[0]
    kind = str(schema.get("type"))
    if kind in ("integer", "number"):
        return int(next(numbers, "1"))
    return _EMPTY[kind] if kind in _EMPTY else next(names, None) or next(numbers, None) or "sim"
