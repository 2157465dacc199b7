"""Hypothesis strategies: frames, provider events, commands, faults, and journals the core could have written.

Needs Hypothesis (`agentfield-rt[testing]`). Journals are made by the core itself: random commands are decided
and their records folded, so that every order and outcome there can be is there, and nothing else.
"""

import asyncio
import itertools
from hashlib import sha256
from typing import TypeVar

from hypothesis import strategies as st

from agentfield_journal import Envelope, StoreJournal
from agentfield_journal.stores.memory import MemoryStore
from agentfield_rt.core import commands
from agentfield_rt.core.decide import decide
from agentfield_rt.core.evolve import evolve
from agentfield_rt.core.lifecycle import TERMINAL, OperationName, Phase
from agentfield_rt.core.records import Decision, Limits, Record, WindowTally
from agentfield_rt.core.records.realtime import GatePolicy
from agentfield_rt.core.state import OpenOperation, State
from agentfield_rt.errors import CloseReason, GateOverflow, IllegalCommand, Reason, RepairNeeded
from agentfield_rt.frames import (
    FRAME_BYTES,
    FRAME_MS,
    AudioFrame,
    CallEnded,
    CallTampered,
    ConnectionExpiring,
    DigitDialled,
    ImageFrame,
    InputFrame,
    InputRejected,
    InputTranscript,
    Media,
    Notice,
    OutputAudio,
    OutputTranscript,
    OutputTruncated,
    PlaybackStarted,
    PlaybackStopped,
    ProviderEvent,
    RateLimit,
    RateLimitsReported,
    ResponseEnded,
    ResponseStarted,
    ResponseStatus,
    SpeechFrame,
    SpeechStarted,
    SpeechStopped,
    TextFrame,
    ToolCalled,
    ToolResultFrame,
    TurnEndFrame,
    Usage,
    UsageReported,
)
from agentfield_rt.run import Context, Run
from agentfield_rt.testing.session_rig import FATES, Fate
from agentfield_rt.testing.virtual_time import VirtualTimeLoop, run

T = TypeVar("T")

COMMANDS_MAX = 60
_ids = st.integers(1, 99).map("id-{}".format)
_texts = st.text(max_size=40)
_JPEG_START = b"\xff\xd8\xff"


def frames() -> st.SearchStrategy[InputFrame]:
    """Any frame a session can be given; ids may repeat."""
    return st.one_of(
        st.builds(AudioFrame, _ids, st.binary(min_size=FRAME_BYTES, max_size=FRAME_BYTES)),
        st.builds(TextFrame, _ids, _texts),
        st.builds(ImageFrame, _ids, st.binary(max_size=64).map(_JPEG_START.__add__), st.just("image/jpeg")),
        st.builds(TurnEndFrame, _ids),
        st.builds(SpeechFrame, _ids, _ids, text=_texts),
        st.builds(SpeechFrame, _ids, _ids, instructions=_texts),
        st.builds(ToolResultFrame, _ids, _ids, _texts),
    )


def provider_events() -> st.SearchStrategy[ProviderEvent]:
    """Any single event, in no sensible order: for code that must take whatever comes."""
    samples = st.binary(max_size=FRAME_BYTES // 2).map(lambda half: half + half)
    tokens = st.integers(0, 2**31)
    limits = st.builds(RateLimit, st.sampled_from(["requests", "tokens"]), tokens, tokens, st.floats(0, 3600))
    return st.one_of(
        st.builds(SpeechStarted, _ids),
        st.builds(SpeechStopped, _ids),
        st.builds(InputTranscript, _ids, _texts, st.booleans()),
        st.builds(InputRejected, _ids),
        st.builds(ResponseStarted, _ids, st.none() | _ids),
        st.builds(OutputAudio, _ids, _ids, samples),
        st.builds(OutputTranscript, _ids, _ids, _texts),
        st.builds(OutputTruncated, _ids, st.integers(0, 60_000)),
        st.builds(PlaybackStarted, _ids),
        st.builds(PlaybackStopped, _ids, st.booleans()),
        st.builds(ToolCalled, _ids, _ids, _ids, _texts),
        st.builds(ResponseEnded, _ids, st.sampled_from(ResponseStatus), st.none() | st.sampled_from(Reason)),
        st.builds(
            UsageReported, st.builds(Usage, input_tokens=tokens, output_tokens=tokens), st.none() | _ids
        ),
        st.builds(RateLimitsReported, st.lists(limits, max_size=2).map(tuple)),
        st.builds(ConnectionExpiring, st.floats(0, 600)),
        st.builds(Notice, st.sampled_from(["rate_limits.updated", "error"]), st.none() | _ids),
        st.builds(DigitDialled, st.sampled_from("0123456789*#ABCD")),
        st.builds(CallTampered, st.lists(_ids, max_size=2).map(tuple)),
        st.just(CallEnded()),
    )


@st.composite
def responses(draw: st.DrawFn, response_id: str = "resp-1") -> list[ProviderEvent]:
    """A whole answer as a provider gives it: started, words before audio, ended once."""
    item_id = f"item-{response_id}"
    said: list[ProviderEvent] = [ResponseStarted(response_id)]
    for piece in draw(st.lists(_texts, max_size=4)):
        said.append(OutputTranscript(response_id, item_id, piece))
        frames_said = draw(st.integers(0, 3))
        said += [OutputAudio(response_id, item_id, bytes(FRAME_BYTES)) for _ in range(frames_said)]
    return [*said, ResponseEnded(response_id, draw(st.sampled_from(ResponseStatus)))]


def fates() -> st.SearchStrategy[Fate]:
    """What may become of a held answer (`SessionRig.decide`)."""
    return st.sampled_from(FATES)


def host_commands() -> st.SearchStrategy[commands.Command]:
    """What a host may ask of a session, sensible or not."""
    reasons = st.sampled_from(Reason)
    return st.one_of(
        st.builds(commands.Connect, limits=limits()),
        st.builds(commands.Send, _ids, st.sampled_from(Media), st.integers(0, 4_096)),
        st.builds(commands.OpenWindow, st.integers(1, 50)),
        st.builds(commands.Receive, st.integers(0, 8)),
        st.builds(commands.Interrupt, _ids, st.none() | st.integers(0, 60_000)),
        st.builds(commands.Refer, _ids),
        st.builds(commands.Restart, reasons),
        st.just(commands.Release()),
        st.builds(commands.LoseConnection, reasons),
        st.builds(commands.Reconcile, _ids, st.sampled_from(Decision)),
        st.builds(commands.Close, st.sampled_from(CloseReason)),
        st.builds(commands.Fail, reasons),
        st.just(commands.Recover()),
    )


def limits() -> st.SearchStrategy[Limits]:
    """What a session may be allowed; gates small enough to be full now and then."""
    return st.builds(
        Limits,
        policy=st.sampled_from(GatePolicy),
        high_water=st.integers(2, 6),
        low_water=st.integers(0, 2),
        restarts_max=st.integers(0, 6),
    )


def histories(
    session_id: str = "session-1", *, ended: bool | None = None
) -> st.SearchStrategy[tuple[Record, ...]]:
    """The records of one session, in order, as the core could have written them.

    Args:
        ended: Whether the session has come to its end; None: either.
    """
    return _batches(session_id, ended).map(lambda batches: tuple(itertools.chain.from_iterable(batches)))


@st.composite
def journals(draw: st.DrawFn, *, ended: bool | None = None) -> list[Envelope]:
    """A run of one to three sessions whose batches are interleaved, as envelopes read from a journal."""
    names = [f"session-{number}" for number in range(1, draw(st.integers(1, 3)) + 1)]
    left = {name: list(draw(_batches(name, ended))) for name in names}
    order = draw(st.randoms(use_true_random=False))
    turns: list[tuple[str, Batch]] = []
    while waiting := [name for name in names if left[name]]:
        name = order.choice(waiting)
        turns.append((name, left[name].pop(0)))
    return run(_written(turns))


Batch = tuple[Record, ...]
_Step = tuple[int, int, int]
_STEP = st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
_STEPS = st.integers(1, COMMANDS_MAX).flatmap(lambda size: st.lists(_STEP, min_size=size, max_size=size))
_LIMITS = [
    Limits(policy=policy, high_water=high, low_water=1, restarts_max=most)
    for policy, high, most in itertools.product(GatePolicy, (2, 5), (1, 16))
]
_ANSWERS_BELOW = 45
_ENDS_FROM = 97
"""A step's first number: below one an answer to what waits, from the other on an end, in between a wish."""


def _batches(session_id: str, ended: bool | None) -> st.SearchStrategy[list[Batch]]:
    # Plain numbers, made into commands afterwards: fast to draw, and a long story shrinks to a short one.
    return _STEPS.map(lambda steps: _played(session_id, steps, ended))


def _played(session_id: str, steps: list[_Step], ended: bool | None) -> list[Batch]:
    state = State(session_id=session_id)
    batches: list[Batch] = []
    for number, (what, first, second) in enumerate(steps):
        if ended is False:
            what %= _ENDS_FROM
        state = _decided(state, _command(state, what, (number, first, second)), batches)
    if ended and state.phase not in TERMINAL:
        _decided(state, commands.Fail(Reason.INTERNAL), batches)
    return batches


def _decided(state: State, command: commands.Command, batches: list[Batch]) -> State:
    """The session after `command`, or as it was when the command is refused."""
    try:
        decided = decide(state, command)
    except (IllegalCommand, RepairNeeded, GateOverflow):
        return state
    for record in decided:
        state = evolve(state, record)
    if decided:
        batches.append(decided)
    return state


def _command(state: State, what: int, numbers: _Step) -> commands.Command:
    """The command of these numbers: an answer to what waits, something a host asks, or an end."""
    number, first, second = numbers
    waiting = list(state.open_operations.values())
    if what < _ANSWERS_BELOW and waiting:
        return _outcome(state, waiting[first % len(waiting)], numbers)
    if what >= _ENDS_FROM:
        ends: list[commands.Command] = [
            *(commands.Close(reason) for reason in CloseReason),
            commands.Fail(_pick(list(Reason), second)),
            commands.Recover(),
            commands.EmergencyClosed(CloseReason.INTERNAL, told=bool(second % 2)),
        ]
        return _pick(ends, first)
    if state.phase is Phase.IDLE:
        return commands.Connect(_pick(_LIMITS, first))
    return _pick(_wishes(state, number, second), first)


def _wishes(state: State, number: int, second: int) -> list[commands.Command]:
    """What a host may ask now, sensible or not; what is in doubt comes up often, so that sessions go on."""
    reason = _pick(list(Reason), second)
    send = commands.Send(f"frame-{number}", _pick(list(Media), second), second)
    decision = _pick(list(Decision), second)
    return [
        *[send] * 3,
        *[commands.Receive(second % 8)] * 3,
        *[commands.OpenWindow(1 + second % 50)] * 2,
        *[commands.Release()] * 3,
        *[commands.Interrupt(response_id, second or None) for response_id in list(state.responses)[-2:]],
        *[commands.Reconcile(op_id, decision) for op_id in state.unknown] * 4,
        commands.Refer(f"ref.{number}"),
        commands.Restart(reason),
        commands.LoseConnection(reason),
    ]


def _pick(choices: list[T], number: int) -> T:
    return choices[number % len(choices)]


def _outcome(state: State, operation: OpenOperation, numbers: _Step) -> commands.Command:
    number, _, second = numbers
    op_id, reason = operation.op_id, _pick(list(Reason), second)
    if second < 15:
        return commands.NotDone(op_id, reason)
    if second < 30:
        return commands.Unknown(op_id, reason)
    match operation.name:
        case OperationName.CONNECT | OperationName.RESTART:
            told = commands.Restored(attempt=1, restored=0, left_out=0, answer_owed=False, gap_ms=second)
            is_told = operation.name is OperationName.RESTART and second % 2
            return commands.Connected(op_id, f"conn-{number}", told if is_told else None)
        case OperationName.RECEIVE:
            return _received(state, op_id, (number, second % 4))
        case OperationName.SEND if operation.media is Media.AUDIO:
            return commands.Flowed(op_id, _tally(second % (operation.frames_max + 1)))
        case _:
            return commands.Done(op_id)


def _received(state: State, op_id: str, numbers: tuple[int, int]) -> commands.Received:
    response_id = f"resp-{numbers[0]}"
    silenced = [name for name, response in state.responses.items() if response.interrupted]
    match numbers[1]:
        case 0:
            return commands.Received(op_id, events={}, late=dict.fromkeys(silenced[:1], 2))
        case 1:
            return commands.Received(op_id, events={"rate_limits.updated": 1})
        case 2:
            return commands.Received(op_id, events={"ResponseStarted": 1}, started=(response_id,))
        case _:
            both = {"ResponseStarted": 1, "ResponseEnded": 1}
            return commands.Received(op_id, events=both, started=(response_id,), ended=(response_id,))


def _tally(frames_flowed: int) -> WindowTally:
    size_bytes = FRAME_BYTES * frames_flowed
    digest = sha256(bytes(size_bytes)).digest()
    return WindowTally(
        frames=frames_flowed, size_bytes=size_bytes, duration_ms=FRAME_MS * frames_flowed, digest=digest
    )


async def _written(turns: list[tuple[str, Batch]]) -> list[Envelope]:
    journal = StoreJournal(MemoryStore())
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    written = await Run.open(journal, "run-1", clock=loop.time_ns)
    for session_id, batch in turns:
        written.append(batch, Context(session_id=session_id))
    await written.durable()
    envelopes = await journal.read("run-1")
    await journal.close()
    return envelopes
