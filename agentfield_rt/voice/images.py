"""What the user shows: kept as content, written down, and put into the provider's conversation."""

import secrets
from collections.abc import Awaitable, Callable

from agentfield_rt.core import records
from agentfield_rt.core.records import Record
from agentfield_rt.errors import IllegalCommand
from agentfield_rt.frames import IMAGE_BYTES_MAX, ImageDetail, ImageFrame, image_type


class Images:
    """The pictures of one session.

    Args:
        record: Writes a record of the session.
        keep: Puts bytes into the content store and returns their reference.
        send: Hands a frame to the provider.
    """

    def __init__(
        self,
        record: Callable[[Record], None],
        keep: Callable[[bytes], str],
        send: Callable[[ImageFrame], Awaitable[None]],
    ) -> None:
        self._record = record
        self._keep = keep
        self._send = send

    async def show(self, data: bytes, detail: ImageDetail | None) -> str:
        """Show a picture; the id of its frame.

        Raises:
            IllegalCommand: it is no PNG or JPEG file, or too large; nothing was written down or sent.
            ProviderError: the provider did not take it.
        """
        media_type = image_type(data)
        if media_type is None or len(data) > IMAGE_BYTES_MAX:
            raise IllegalCommand(f"a picture is a PNG or JPEG file of at most {IMAGE_BYTES_MAX} bytes")
        frame = ImageFrame(f"img_{secrets.token_hex(8)}", data, media_type, detail)
        self._record(
            records.ImageReceived(
                frame_id=frame.frame_id, image_ref=self._keep(data), media_type=media_type, detail=detail
            )
        )
        await self._send(frame)
        return frame.frame_id
