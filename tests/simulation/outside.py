"""What is outside of the runtime: providers that fail by lot, tools, delivery sinks. It remembers."""

import random
from collections import Counter
from collections.abc import Callable, Iterable

from msgspec import json

from agentfield_rt.errors import ExecutionFailed, Reason
from agentfield_rt.frames import (
    FRAME_BYTES,
    InputFrame,
    OutputAudio,
    OutputTranscript,
    ProviderEvent,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
)
from agentfield_rt.sinks import Parcel, SinkError
from agentfield_rt.testing import Call, Effects, HeldAdapter, Hold, MemoryProvider, time_passes
from agentfield_rt.voice.link import ExecutionRequest
from tests.simulation.options import Options
from tests.simulation.process import Process, Socket

Fate = Callable[[Hold], None]


class Outside:
    """What happened outside for one run, whoever owned it at the time.

    Attributes:
        calm: From now on nothing goes wrong any more.
    """

    def __init__(self, options: Options, chance: random.Random) -> None:
        self.options = options
        self.chance = chance
        self.effects = Effects()
        self.arrived: Counter[str] = Counter()
        self.ran: Counter[str] = Counter()
        self.calm = False

    def adapter(self, process: Process) -> tuple[Socket, MemoryProvider]:
        """A new connection to the provider, for one owner."""
        provider = MemoryProvider(answer=self._answer)
        provider.connections_total = self.chance.randrange(10**9)  # a provider's ids never come twice
        held = HeldAdapter(provider, effects=self.effects, on_call=lambda call: self._decide(held, call))
        return Socket(process, held), provider

    def _answer(self, frame: InputFrame, response_id: str) -> Iterable[ProviderEvent]:
        """Speaks what it is to speak, a word and 60 ms of audio at a time."""
        if not isinstance(frame, SpeechFrame):
            return
        response_id = f"{response_id}-{self.chance.randrange(10**9)}"
        yield ResponseStarted(response_id, frame.utterance_id)
        for word in (frame.text or frame.instructions or "").split():
            yield OutputTranscript(response_id, f"item-{response_id}", f"{word} ")
            for _ in range(3):
                yield OutputAudio(response_id, f"item-{response_id}", bytes(FRAME_BYTES))
        yield ResponseEnded(response_id, ResponseStatus.COMPLETED)

    def _decide(self, held: HeldAdapter, call: Call) -> None:
        """How a call goes that comes now."""
        drawn = self.chance.random()
        if self.calm:
            return
        for fate, rate in self.options.fates.items():
            drawn -= rate
            if drawn < 0:
                self._fates()[fate](held.hold(call.method))
                return

    def _fates(self) -> dict[str, Fate]:
        late_s, acted = self.chance.uniform(0.05, 8), self.chance.random() < 0.5
        return {
            "late": lambda hold: hold.release(after_s=late_s),
            "fail": Hold.fail,
            "doubt": lambda hold: hold.doubt(acted=acted),
            "lose": lambda hold: hold.lose(acted=acted),
            "drop": lambda hold: hold.drop(acted=acted),
        }

    # What a session's tools and deliveries reach.

    async def execute(self, request: ExecutionRequest) -> object:
        """An executor."""
        await time_passes(self.chance.expovariate(1 / 0.3))
        if (call_id := request.arguments.get("call")) is not None:
            self.ran[call_id] += 1
        if not self.calm and self.chance.random() < 0.05:
            raise ExecutionFailed("the tool refuses", execution_id=None, reason=Reason.UNAVAILABLE)
        return json.decode(b'"found it"')

    async def take(self, parcel: Parcel) -> str | None:
        """A sink's function: it may arrive and nobody learns of it."""
        fate = self.chance.choice(["done", "done", "refused", "doubt", "late"])
        if self.calm or fate == "done":
            self.arrived[parcel.dedupe_key] += 1
            return "receipt"
        if fate == "refused":
            raise SinkError("refused", reason=Reason.UNAVAILABLE, not_done=True)
        if self.chance.random() < 0.5:
            self.arrived[parcel.dedupe_key] += 1
        if fate == "late":
            await time_passes(60)
        raise SinkError("nobody knows", reason=Reason.TIMEOUT, not_done=False)
