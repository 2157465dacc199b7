"""What is known of one connection's responses: their items, how much audio, which tools. Pure."""

from collections import OrderedDict
from dataclasses import dataclass, field

PCM_BYTES_PER_MS = 48
_KEPT_MAX = 256


@dataclass(slots=True)
class Response:
    """One answer of the provider.

    Attributes:
        audio_bytes: Audio received per item, in order of playback; kept after the end, because what was
            generated plays long after.
        open_calls: Tools the response asked for that have no output yet.
        goes_on: It ended by itself, so the outputs of its tools are owed an answer.
    """

    response_id: str
    generating: bool = True
    interrupted: bool = False
    goes_on: bool = False
    playing: bool = False
    calls: int = 0
    open_calls: set[str] = field(default_factory=set[str])
    audio_bytes: dict[str, int] = field(default_factory=dict[str, int])
    kept_ms: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def owes_answer(self) -> bool:
        """Whether every tool it called has returned and the provider must be asked to go on."""
        return self.goes_on and self.calls > 0 and not self.open_calls

    def cuts(self, heard_ms: int) -> list[tuple[str, int]]:
        """Items to cut, with the milliseconds to keep, so that only what was heard remains; 0 removes one."""
        cuts: list[tuple[str, int]] = []
        before_ms = 0
        for item_id, received_bytes in self.audio_bytes.items():
            received_ms = received_bytes // PCM_BYTES_PER_MS
            known_ms = self.kept_ms.get(item_id, received_ms)
            keep_ms = min(max(heard_ms - before_ms, 0), known_ms)
            before_ms += received_ms
            if keep_ms < known_ms:
                cuts.append((item_id, keep_ms))
                self.kept_ms[item_id] = keep_ms
        return cuts


class Responses:
    """The latest responses by id, and which of them called which tool. Bounded: the oldest are forgotten."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Response] = OrderedDict()
        self._by_call: dict[str, Response] = {}

    def ids(self) -> list[str]:
        return list(self._by_id)

    def get(self, response_id: str) -> Response | None:
        return self._by_id.get(response_id)

    def open(self, response_id: str) -> Response:
        response = self._by_id[response_id] = Response(response_id)
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
        return any(item_id in response.audio_bytes for response in self._by_id.values())
