"""What the user gives a session besides words and sound: pictures, and the end of a turn by hand."""

import secrets
from collections.abc import Awaitable, Callable

from agentfield_rt.controller import RealtimeSessionController
from agentfield_rt.core import commands, records
from agentfield_rt.core.lifecycle import COMMANDS
from agentfield_rt.errors import IllegalCommand, SessionClosed
from agentfield_rt.frames import IMAGE_BYTES_MAX, ImageDetail, ImageFrame, TurnEndFrame, image_type
from agentfield_rt.voice.recorder import Recorder
from agentfield_rt.voice.speaking import Speaking


class Inputs:
    """The user's other side of one session.

    Args:
        send: Hands a frame to the provider.
        user: Is told of turns that end by hand.
        is_over: Whether the session takes nothing any more.
    """

    def __init__(
        self,
        recorder: Recorder,
        send: Callable[[ImageFrame | TurnEndFrame], Awaitable[None]],
        controller: RealtimeSessionController,
        *,
        user: Speaking,
        is_over: Callable[[], bool],
    ) -> None:
        self._recorder = recorder
        self._send = send
        self._controller = controller
        self._user = user
        self._is_over = is_over

    async def show(self, data: bytes, *, detail: ImageDetail | None = None) -> str:
        """Show a picture; it is part of the conversation and no turn. Its id, once the provider took it.

        Args:
            data: A PNG or JPEG file of at most `IMAGE_BYTES_MAX`.
            detail: How closely the model looks; its own choice when None.

        Raises:
            IllegalCommand: it is no such file, or the session is not connected; nothing was sent.
            SessionClosed: the session is over.
            ProviderError: the provider did not take it.
        """
        self._require_open()
        media_type = image_type(data)
        if media_type is None or len(data) > IMAGE_BYTES_MAX:
            raise IllegalCommand(f"a picture is a PNG or JPEG file of at most {IMAGE_BYTES_MAX} bytes")
        frame = ImageFrame(f"img_{secrets.token_hex(8)}", data, media_type, detail)
        self._recorder.record(
            records.ImageReceived(
                frame_id=frame.frame_id,
                image_ref=self._recorder.keep_file(data),
                media_type=media_type,
                detail=detail,
            )
        )
        await self._send(frame)
        return frame.frame_id

    async def end_turn(self) -> None:
        """The user has finished speaking (push to talk). The turn comes when its words are known.

        Raises:
            IllegalCommand: the session is not connected.
            SessionClosed: the session is over.
            ProviderError: the provider did not take it.
        """
        self._require_open()
        frame = TurnEndFrame(f"end_{secrets.token_hex(8)}")
        self._user.ended_by_hand(frame.frame_id)  # the provider may have answered before the send returns
        try:
            await self._send(frame)
        except BaseException:
            self._user.was_nothing(frame.frame_id)
            raise

    def _require_open(self) -> None:
        if self._is_over():
            raise SessionClosed("the session is over; start a new one")
        phase = self._controller.state.phase
        if phase not in COMMANDS[commands.Send]:  # what is refused, no record tells of
            raise IllegalCommand(f"nothing can be given to a session that is {phase}; connect it first")
