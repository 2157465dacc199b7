"""The one response a conversation may have at a time (OpenAI Realtime). Pure; knows no socket.

A `response.create` sent while another response runs is refused, so it waits here for `response.done`.
Nothing is sent twice unless the provider refused it for exactly that reason: the voice activity detector
may have started a response while ours was on its way.
"""

from collections import deque

from agentfield_adapters.openai.client_events import ResponseCreate
from agentfield_rt.errors import ProviderError, Reason

_WAITING_MAX = 32
_OCCUPIED = "conversation_already_has_active_response"


class ResponseSlot:
    """Who has the slot, who has asked for it, and who waits."""

    def __init__(self) -> None:
        self._asked: ResponseCreate | None = None
        self._active: str | None = None
        self._waiting: deque[ResponseCreate] = deque()

    def require_room(self) -> None:
        """Refuse a request before anything of it is sent.

        Raises:
            ProviderError: too many requests wait already.
        """
        if len(self._waiting) >= _WAITING_MAX:
            raise ProviderError(
                f"{_WAITING_MAX} answers wait for the one that is running; interrupt it or wait",
                reason=Reason.RATE_LIMITED,
                retryable=True,
            )

    @property
    def is_waited_for(self) -> bool:
        return bool(self._waiting)

    @property
    def active(self) -> str | None:
        """The response that is running."""
        return self._active

    @property
    def asked(self) -> ResponseCreate | None:
        """The request whose response has not begun."""
        return self._asked

    def vacate(self) -> ResponseCreate | None:
        """Nothing comes of who has the slot: the request that never began, if it was one."""
        asked, self._asked, self._active = self._asked, None, None
        return asked

    def offer(self, create: ResponseCreate) -> None:
        """Ask for a response; `claim` gives it out when its time has come."""
        self._waiting.append(create)

    def claim(self) -> ResponseCreate | None:
        """The request that may be sent now, if one may. It has the slot from here on: send it."""
        if self._asked is not None or self._active is not None or not self._waiting:
            return None
        self._asked = self._waiting.popleft()
        return self._asked

    def started(self, response_id: str, request_id: str | None) -> None:
        """The provider began a response, ours or its own."""
        self._active = response_id
        self._answered(request_id)

    def ended(self, response_id: str, request_id: str | None) -> None:
        """The provider ended a response."""
        self._answered(request_id)
        if self._active == response_id:
            self._active = None

    def refused(self, event_id: str | None, code: str) -> ResponseCreate | None:
        """An error came: the request it ended for good, if it ended one."""
        asked = self._asked
        # Some servers do not say what they refused, but only a `response.create` gets this code.
        unnamed = event_id is None and code == _OCCUPIED
        if asked is None or not (unnamed or event_id == asked.event_id):
            return None
        self._asked = None
        if code == _OCCUPIED and self._active is not None:
            self._waiting.appendleft(asked)
            return None
        return asked

    def _answered(self, request_id: str | None) -> None:
        if self._asked is not None and self._asked.event_id == request_id:
            self._asked = None
