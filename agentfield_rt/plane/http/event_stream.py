"""Server-sent events as an answer that the API's document knows the media type of."""

from sse_starlette import EventSourceResponse


class EventStream(EventSourceResponse):
    """`EventSourceResponse`, which says its media type of each instance only."""

    media_type = "text/event-stream"
