"""A request as the brain sees it: the messages as items, with the words of what was said last."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from agentfield_adapters.local.brain import Prompt
from agentfield_adapters.local.chat.request import (
    Assistant,
    AudioPart,
    ChatRequest,
    Developer,
    NamedTool,
    System,
    TextPart,
    Tool,
    User,
)
from agentfield_adapters.local.chat.sound_file import heard, samples
from agentfield_adapters.local.conversation.conversation import Senses
from agentfield_adapters.local.ears.grammar import is_jsgf
from agentfield_adapters.local.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    Message,
    OutputText,
)
from agentfield_adapters.local.protocol.session import FunctionChoice, FunctionTool, ToolChoice

Texts = str | list[TextPart] | None


async def prompt_of(request: ChatRequest, senses: Senses) -> Prompt:
    """Return what the brain is asked. Only the newest message is listened to: the answer is to that.

    Raises:
        Refusal: A sound or a grammar cannot be used.
    """
    instructions: list[str] = []
    grammar: str | None = None
    items: list[Item] = []
    for message in request.messages:
        match message:
            case System(content=content) | Developer(content=content):
                for text in _texts(content):
                    if is_jsgf(text):
                        grammar = text
                    else:
                        instructions.append(text)
            case User():
                items.append(_user_item(message))
            case Assistant():
                items += _assistant_items(message)
            case Tool(tool_call_id=call_id, content=content):
                items.append(FunctionCallOutput(call_id=call_id, output="".join(_texts(content))))
    heard_s = 0.0
    newest = request.messages[-1]
    if isinstance(newest, User):
        items[-1], heard_s = await _listened_to(newest, len(request.messages) - 1, grammar, senses)
    return Prompt("\n".join(instructions), items, _tools(request), _choice(request), heard_s)


def _texts(content: Texts) -> list[str]:
    if content is None:
        return []
    return [content] if isinstance(content, str) else [part.text for part in content]


def _user_item(message: User) -> Message:
    """The turn as far as it can be read."""
    parts = [TextPart(message.content)] if isinstance(message.content, str) else message.content
    return Message(
        role="user",
        content=[InputText(part.text) if isinstance(part, TextPart) else InputAudio() for part in parts],
    )


async def _listened_to(message: User, at: int, grammar: str | None, senses: Senses) -> tuple[Message, float]:
    """The turn with its words, and the seconds of sound in it."""
    content: list[InputText | InputAudio] = []
    heard_ms = 0
    for place, part in enumerate([] if isinstance(message.content, str) else message.content):
        if not isinstance(part, AudioPart):
            content.append(InputText(part.text))
            continue
        param = f"messages[{at}].content[{place}].input_audio.data"
        turn = await heard(
            senses, samples(part.input_audio.data, param), grammar=grammar, param="messages[0].content"
        )
        words = turn.recognised.text if turn is not None and turn.recognised is not None else None
        heard_ms += turn.duration_ms if turn is not None else 0
        content.append(InputAudio(transcript=words))
    if isinstance(message.content, str):
        content.append(InputText(message.content))
    return Message(role="user", content=list(content)), heard_ms / 1000


def _assistant_items(message: Assistant) -> list[Item]:
    items: list[Item] = []
    if texts := _texts(message.content):
        items.append(Message(role="assistant", content=[OutputText(text) for text in texts]))
    for call in message.tool_calls:
        items.append(
            FunctionCall(name=call.function.name, arguments=call.function.arguments, call_id=call.id)
        )
    return items


def _tools(request: ChatRequest) -> list[FunctionTool]:
    return [
        FunctionTool(
            tool.function.name,
            UNSET if isinstance(tool.function.description, UnsetType) else tool.function.description,
            UNSET if isinstance(tool.function.parameters, UnsetType) else tool.function.parameters,
        )
        for tool in request.tools
    ]


def _choice(request: ChatRequest) -> ToolChoice:
    choice = request.tool_choice
    return FunctionChoice(choice.function.name) if isinstance(choice, NamedTool) else choice
