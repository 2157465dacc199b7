"""Frames as client events: how what a session is given is put to the provider. Pure, stateless."""

from base64 import b64encode

from msgspec import UNSET, structs

from agentfield_adapters.openai.client_events import (
    FunctionCallOutput,
    InputImage,
    InputText,
    ItemCreate,
    ResponseCreate,
    ResponseOptions,
    UserMessage,
    item_id_for,
)
from agentfield_rt.frames import ImageFrame, SpeechFrame, TextFrame, ToolResultFrame

REQUEST_TAG = "request_id"
"""Metadata key: the `event_id` of the `response.create` a response answers."""
UTTERANCE_TAG = "utterance_id"
"""Metadata key: the utterance a response speaks."""


def typed_turn(frame: TextFrame, event_id: str) -> ItemCreate:
    """A user item."""
    message = UserMessage(id=item_id_for(frame.frame_id), content=(InputText(frame.text),))
    return ItemCreate(event_id=event_id, item=message)


def picture(frame: ImageFrame, event_id: str) -> ItemCreate:
    """A user item that shows something."""
    url = f"data:{frame.media_type};base64,{b64encode(frame.data).decode()}"
    image = InputImage(url, UNSET if frame.detail is None else frame.detail)
    return ItemCreate(event_id=event_id, item=UserMessage(id=item_id_for(frame.frame_id), content=(image,)))


def without_id(create: ItemCreate) -> ItemCreate:
    """The same item, for a server that names items itself."""
    return structs.replace(create, item=structs.replace(create.item, id=UNSET))


def tool_output(frame: ToolResultFrame, event_id: str) -> ItemCreate:
    """The output of a call."""
    output = FunctionCallOutput(id=item_id_for(frame.frame_id), call_id=frame.call_id, output=frame.output)
    return ItemCreate(event_id=event_id, item=output)


def speech(frame: SpeechFrame, event_id: str) -> ResponseCreate:
    """A response that says the text and nothing else, or follows the instructions."""
    metadata = {REQUEST_TAG: event_id, UTTERANCE_TAG: frame.utterance_id}
    if frame.text is not None:
        options = ResponseOptions(
            metadata=metadata, instructions=f"Say exactly: {frame.text}", tools=(), tool_choice="none"
        )
    elif frame.instructions is not None:
        options = ResponseOptions(metadata=metadata, instructions=frame.instructions)
    else:
        options = ResponseOptions(metadata=metadata)
    return ResponseCreate(event_id=event_id, response=options)


def going_on(event_id: str) -> ResponseCreate:
    """The answer that follows the outputs of tools."""
    return ResponseCreate(event_id=event_id, response=ResponseOptions(metadata={REQUEST_TAG: event_id}))
