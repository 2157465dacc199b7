"""One connection's conversation with the provider: wire events in, our events out. Pure, no socket.

All state hangs on response and item ids, never on "the current item": responses interleave their items.
"""

from collections.abc import Iterable, Sequence
from itertools import count

from agentfield_adapters.openai import client_events as client
from agentfield_adapters.openai import reports, requests, user_events
from agentfield_adapters.openai import server_events as server
from agentfield_adapters.openai.dialect import OPENAI, Dialect
from agentfield_adapters.openai.failures import error_code, reason_of
from agentfield_adapters.openai.response_slot import ResponseSlot
from agentfield_adapters.openai.responses import Response, Responses
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.frames import (
    ImageFrame,
    InputRejected,
    Notice,
    OutputAudio,
    OutputTranscript,
    OutputTruncated,
    PlaybackStarted,
    PlaybackStopped,
    ProviderEvent,
    RateLimitsReported,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
    TurnEndFrame,
    UsageReported,
)
from agentfield_rt.items import History, ToolCallItem, ToolOutputItem
from agentfield_rt.ports import AudioFormat

_STATUSES = {status.value: status for status in ResponseStatus}
_FUNCTION_CALL = "function_call"
_LATE = "late"
_REPEATED = "repeated"
_NO_TURN = "input_audio_buffer_commit_empty"
TURN_ENDS_MAX = 16
"""Turns ended by hand of which it is remembered what refuses them."""

WordFrame = TextFrame | ImageFrame | TurnEndFrame | SpeechFrame | ToolResultFrame
"""Everything a session is given but audio."""


class Conversation:
    """What has been said, as far as this adapter must know it.

    Guarantees, whatever the provider does: every response is started once and ended once, nothing of it
    comes after its end except reports of its playback, and a tool call is reported once.

    Args:
        tag: Makes the ids given here different from those of any other connection.
        over: Responses of an earlier connection to the same call: whatever still comes of them is late.
        audio_format: In which answers come.
        answers: The model answers a turn by itself, also one that is ended by hand.
    """

    def __init__(
        self,
        tag: str,
        *,
        over: Iterable[str] = (),
        dialect: Dialect = OPENAI,
        audio_format: AudioFormat = AudioFormat.PCM16,
        answers: bool = False,
    ) -> None:
        self._tag = tag
        self.dialect = dialect
        self._answers = answers
        self._responses = Responses(audio_format)
        self._slot = ResponseSlot()
        self._numbers = count(1)
        self._progress = 0
        self._told: frozenset[str] = frozenset()
        self._turn_ends: dict[str, str] = {}
        for response_id in over:
            self._responses.open(response_id).finish()

    def event_id(self) -> str:
        """An id for a client event."""
        return f"af_{self._tag}_{next(self._numbers)}"

    def response(self, response_id: str) -> Response | None:
        return self._responses.get(response_id)

    @property
    def response_ids(self) -> list[str]:
        return self._responses.ids()

    def submit(self, frame: WordFrame) -> client.ItemCreate | client.AudioCommit | None:
        """Take a frame: the event to send for it now, if any. What the provider shall say, `claim` gives out.

        Raises:
            ProviderError: the frame cannot be sent; nothing changed.
        """
        if frame.frame_id in self._told:
            return None
        match frame:
            case TextFrame():
                return self._named(requests.typed_turn(frame, self.event_id()))
            case ImageFrame():
                return self._named(requests.picture(frame, self.event_id()))
            case TurnEndFrame():
                if self._answers:
                    self._slot.require_room()
                    self._slot.offer(requests.going_on(self.event_id()))
                return self._commit(frame)
            case SpeechFrame():
                self._slot.require_room()
                self._slot.offer(requests.speech(frame, self.event_id()))
                return None
            case ToolResultFrame():
                response = self._responses.caller(frame.call_id)
                if response is None:
                    raise ProviderError("the provider called no such tool here", reason=Reason.NOT_FOUND)
                if frame.call_id not in response.open_calls:
                    raise ProviderError("this tool call has its output", reason=Reason.INVALID_REQUEST)
                self._slot.require_room()
                response.open_calls.discard(frame.call_id)
                self._go_on(response)
                return self._named(requests.tool_output(frame, self.event_id()))

    def _commit(self, frame: TurnEndFrame) -> client.AudioCommit:
        commit = client.AudioCommit(event_id=self.event_id())
        self._turn_ends[str(commit.event_id)] = frame.frame_id
        if len(self._turn_ends) > TURN_ENDS_MAX:
            del self._turn_ends[next(iter(self._turn_ends))]
        return commit

    def restore(self, history: History) -> None:
        """The provider was told this. What it was told is not told again; calls wait for their outputs."""
        self._told = frozenset(item.item_id for item in history.items)
        returned = {item.call_id for item in history.items if isinstance(item, ToolOutputItem)}
        waiting = [
            item.call_id
            for item in history.items
            if isinstance(item, ToolCallItem) and item.call_id not in returned
        ]
        if waiting:  # together they are owed one answer
            response = self._responses.open(f"restored_{self._tag}")
            response.finish()
            response.goes_on = True
            for call_id in waiting:
                self._responses.called(response, call_id)

    def go_on(self) -> None:
        """The model owes an answer that nobody asks for."""
        self._slot.offer(requests.going_on(self.event_id()))

    def _named(self, create: client.ItemCreate) -> client.ItemCreate:
        return create if self.dialect.keeps_item_ids else requests.without_id(create)

    @property
    def may_claim(self) -> bool:
        """Whether a request for a response waits here."""
        return self._slot.is_waited_for

    def claim(self) -> client.ResponseCreate | None:
        """The request for a response whose turn it is, if the provider can take one. It must be sent now."""
        return self._slot.claim()

    @property
    def owed(self) -> tuple[str, int] | None:
        """The response that is generated or asked for, and how many events of responses have come so far."""
        if (response_id := self._slot.active) is not None:
            return response_id, self._progress
        return None if (asked := self._slot.asked) is None else (asked.event_id, self._progress)

    def give_up(self) -> Sequence[ProviderEvent]:
        """The provider knows nothing of the response that is owed: the end of it, here at least."""
        response = self._responses.get(self._slot.active or "")
        asked = self._slot.vacate()
        if response is not None and response.generating:
            response.finish()
            response.goes_on = True  # it ended there, so the tools that it called are owed an answer
            self._go_on(response)
            return [ResponseEnded(response.response_id, ResponseStatus.INCOMPLETE)]
        return _never_begun(asked, Reason.TIMEOUT) if asked is not None else []

    def end(self) -> Sequence[ProviderEvent]:
        """The connection is gone: the ends of those responses that nobody else will end."""
        ends: list[ProviderEvent] = []
        for response in self._responses.generating():
            response.finish()
            ends.append(
                ResponseEnded(response.response_id, ResponseStatus.INCOMPLETE, Reason.CONNECTION_LOST)
            )
        return ends

    def react(self, event: server.ReadEvent | server.Unread) -> list[ProviderEvent]:
        """Take in one wire event: what it means to the runtime. There may be something to `claim` now."""
        if isinstance(event, server.AudioDelta):  # most events are
            return self._spoken(event)
        meaning: list[ProviderEvent]
        match event:
            case server.ResponseCreated() | server.ResponseDone() | server.Error() | server.OutputItemDone():
                meaning = self._steer(event)
            case server.TranscriptDelta() | server.TextDelta():
                meaning = self._worded(event)
            case server.PlaybackStarted() | server.PlaybackStopped() | server.PlaybackCleared():
                meaning = [self._playback(event)]
            case server.ItemTruncated(item_id=item_id, audio_end_ms=audio_end_ms):
                meaning = [OutputTruncated(item_id, audio_end_ms)]
            case server.ItemDeleted(item_id=item_id) if self._responses.has_item(item_id):
                meaning = [OutputTruncated(item_id, 0)]
            case (
                server.SessionCreated() | server.SessionUpdated() | server.ItemAdded() | server.ItemDeleted()
            ):
                meaning = [Notice(server.name_of(event))]
            case server.RateLimitsUpdated(rate_limits=raw):
                limits = reports.rate_limits(raw)
                meaning = [RateLimitsReported(limits) if limits else Notice(server.name_of(event))]
            case server.Unread(name=name):
                self._progress += name.startswith("response.")
                meaning = [Notice(name)]
            case _:
                meaning = user_events.told(event)
        return meaning

    def _steer(
        self, event: server.ResponseCreated | server.ResponseDone | server.Error | server.OutputItemDone
    ) -> list[ProviderEvent]:
        """The events that decide who has the response slot and which tools run."""
        match event:
            case server.ResponseCreated(response=info):
                if self._responses.get(info.id) is not None:
                    return [Notice(server.name_of(event), _REPEATED)]
                return [self._begin(info)]
            case server.ResponseDone(response=info):
                return self._done(event, info)
            case server.Error(error=error):
                return self._refused(error)
            case server.OutputItemDone(response_id=response_id, item=item):
                return self._item_done(event, response_id, item)

    def _begin(self, info: server.ResponseInfo) -> ResponseStarted:
        self._progress += 1
        self._responses.open(info.id)
        request_id, utterance_id = info.tag(requests.REQUEST_TAG), info.tag(requests.UTTERANCE_TAG)
        asked = self._slot.asked
        if asked is not None and not self.dialect.echoes_metadata:
            request_id = asked.event_id
            utterance_id = asked.response.metadata.get(requests.UTTERANCE_TAG)
        self._slot.started(info.id, request_id)
        return ResponseStarted(info.id, utterance_id)

    def _live(self, response_id: str) -> tuple[Response | None, list[ProviderEvent]]:
        """The response if it is not over, and its start if the provider's `response.created` got lost."""
        self._progress += 1
        response = self._responses.get(response_id)
        if response is not None:
            return (response if response.generating else None), []
        started = self._begin(server.ResponseInfo(response_id))
        return self._responses.get(response_id), [started]

    def _spoken(self, event: server.AudioDelta) -> list[ProviderEvent]:
        response, events = self._live(event.response_id)
        if response is None:
            return [Notice(server.name_of(event), _LATE)]
        item_id, data = event.item_id, event.delta
        response.audio.add(item_id, event.content_index, len(data))
        if not response.interrupted and (pcm := response.decoded(data)):
            events.append(OutputAudio(event.response_id, item_id, pcm))
        return events

    def _worded(self, event: server.TranscriptDelta | server.TextDelta) -> list[ProviderEvent]:
        response, events = self._live(event.response_id)
        if response is None:
            return [Notice(server.name_of(event), _LATE)]
        return [*events, OutputTranscript(event.response_id, event.item_id, event.delta)]

    def _playback(
        self, event: server.PlaybackStarted | server.PlaybackStopped | server.PlaybackCleared
    ) -> ProviderEvent:
        playing = isinstance(event, server.PlaybackStarted)
        if (response := self._responses.get(event.response_id)) is not None:
            response.playing = playing
        if playing:
            return PlaybackStarted(event.response_id)
        return PlaybackStopped(event.response_id, cleared=isinstance(event, server.PlaybackCleared))

    def _item_done(
        self, event: server.OutputItemDone, response_id: str, item: server.Item
    ) -> list[ProviderEvent]:
        response, events = self._live(response_id)
        is_call = item.type == _FUNCTION_CALL and item.status == "completed"
        if response is None or not is_call or item.call_id is None or item.name is None:
            return [*events, Notice(server.name_of(event), _LATE if response is None else None)]
        if not self._responses.called(response, item.call_id):
            return [*events, Notice(server.name_of(event), _REPEATED)]
        return [*events, ToolCalled(response_id, item.call_id, item.name, item.arguments or "")]

    def _done(self, event: server.ResponseDone, info: server.ResponseInfo) -> list[ProviderEvent]:
        events: list[ProviderEvent] = []
        if self._responses.get(info.id) is None:
            events.append(self._begin(info))
        response = self._responses.get(info.id)
        if response is None or not response.generating:
            return [Notice(server.name_of(event), _REPEATED)]
        status = _STATUSES.get(info.status or "", ResponseStatus.FAILED)
        response.goes_on = status is ResponseStatus.COMPLETED
        if (rest := response.finish()) and (item_id := response.audio.last_item_id) is not None:
            events.append(OutputAudio(info.id, item_id, rest))
        if (usage := reports.usage(info.usage)) is not None:
            events.append(UsageReported(usage, info.id))
        events.append(ResponseEnded(info.id, status, reports.failure(info.status_details)))
        self._slot.ended(info.id, info.tag(requests.REQUEST_TAG))
        self._go_on(response)
        return events

    def _go_on(self, response: Response) -> None:
        """One answer to all the tools a response called, once it ended by itself and all have returned."""
        if response.owes_answer:
            self._slot.offer(requests.going_on(self.event_id()))

    def _refused(self, error: server.ErrorBody) -> list[ProviderEvent]:
        """An error: a notice, and the end of the turn or response that will never be, if it refused one."""
        code = error_code(error)
        events: list[ProviderEvent] = [Notice("error", code)]
        if (frame_id := self._refused_turn(error.event_id, code)) is not None:
            return [*events, InputRejected(frame_id, is_turn=code != _NO_TURN)]
        refused = self._slot.refused(error.event_id, code)
        return events if refused is None else [*events, *_never_begun(refused, reason_of(code))]

    def _refused_turn(self, event_id: str | None, code: str) -> str | None:
        """The frame that ended a turn which will never be."""
        if event_id is None and code == _NO_TURN and self._turn_ends:
            return self._turn_ends.popitem()[1]  # some servers do not say what they refused
        return self._turn_ends.pop(event_id or "", None)


def _never_begun(asked: client.ResponseCreate, reason: Reason | None) -> list[ProviderEvent]:
    """Whoever asked learns of it as of any other response; the id is the request's, there is no other."""
    utterance_id = asked.response.metadata.get(requests.UTTERANCE_TAG)
    return [
        ResponseStarted(asked.event_id, utterance_id),
        ResponseEnded(asked.event_id, ResponseStatus.FAILED, reason),
    ]
