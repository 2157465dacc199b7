"""What is known of one connection's responses: their items, how much audio, which tools. Pure."""

from collections import OrderedDict
from dataclasses import dataclass, field

from agentfield_adapters.openai.received_audio import ReceivedAudio
from agentfield_adapters.openai.wire_audio import Decoder, bytes_per_ms, decoder
from agentfield_rt.ports import AudioFormat

_KEPT_MAX = 256


@dataclass(slots=True)
class Response:
    """One answer of the provider.

    Attributes:
        audio: What came of it, by item and part.
        decoder: Makes the runtime's audio of that; forgotten when no more comes.
        open_calls: Tools the response asked for that have no output yet.
        goes_on: It ended by itself, so the outputs of its tools are owed an answer.
    """

    response_id: str
    audio: ReceivedAudio
    decoder: Decoder | None
    generating: bool = True
    interrupted: bool = False
    goes_on: bool = False
    playing: bool = False
    calls: int = 0
    open_calls: set[str] = field(default_factory=set[str])

    @property
    def owes_answer(self) -> bool:
        """Whether every tool it called has returned and the provider must be asked to go on."""
        return self.goes_on and self.calls > 0 and not self.open_calls

    def decoded(self, data: bytes) -> bytes:
        """The next piece of its audio as the runtime's; nothing where that waits for more."""
        return b"" if self.decoder is None else self.decoder.decoded(data)

    def finish(self) -> bytes:
        """No more of it is generated: what its decoder held back, if anybody is to hear it."""
        self.generating = False
        decoder, self.decoder = self.decoder, None
        return b"" if decoder is None or self.interrupted else decoder.rest()


class Responses:
    """The latest responses by id, and which of them called which tool. Bounded: the oldest are forgotten.

    Args:
        audio_format: In which their audio comes.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._audio_format = audio_format
        self._by_id: OrderedDict[str, Response] = OrderedDict()
        self._by_call: dict[str, Response] = {}

    def ids(self) -> list[str]:
        return list(self._by_id)

    def get(self, response_id: str) -> Response | None:
        return self._by_id.get(response_id)

    def open(self, response_id: str) -> Response:
        response = self._by_id[response_id] = Response(
            response_id, ReceivedAudio(bytes_per_ms(self._audio_format)), decoder(self._audio_format)
        )
        while len(self._by_id) > _KEPT_MAX:
            _, oldest = self._by_id.popitem(last=False)
            self._by_call = {call: owner for call, owner in self._by_call.items() if owner is not oldest}
        return response

    def called(self, response: Response, call_id: str) -> bool:
        """Note a tool call; False if it was known already."""
        if call_id in self._by_call:
            return False
        self._by_call[call_id] = response
        response.open_calls.add(call_id)
        response.calls += 1
        return True

    def caller(self, call_id: str) -> Response | None:
        return self._by_call.get(call_id)

    def generating(self) -> list[Response]:
        return [response for response in self._by_id.values() if response.generating]

    def has_item(self, item_id: str) -> bool:
        return any(response.audio.has(item_id) for response in self._by_id.values())
