"""The records of a call in which everything happened once, at times that are given."""

from agentfield_journal import open_journal
from agentfield_journal.envelope import Draft, Envelope
from agentfield_rt.core import records
from agentfield_rt.core.records import GateAction, Record, TurnSource
from agentfield_rt.errors import CloseReason, Reason
from agentfield_rt.frames import Media
from agentfield_rt.run import Context, Run

STARTED_NS = 1_795_000_000_000_000_000
TEXTS = {
    "ref.where": "where is order <four>",
    "ref.customs": "Order four is stuck in customs.",
    "ref.story": "tell me a long story",
    "ref.once": "Once upon a time a parcel wanted to see the world.",
    "ref.begun": "Once upon a time",
    "ref.typed": "What can you do?",
}


def _spoken(at_ms: int) -> int:
    return STARTED_NS + at_ms * 1_000_000


def _heard(op_id: str, *events: str) -> Record:
    return records.OutputReceived(op_id=op_id, cursor=1, events=dict.fromkeys(events, 1))


STORY: list[tuple[int, str | None, Record]] = [
    (0, None, records.SessionStarted(target="voice-support.voice", provider="local", transport="webrtc")),
    (60, None, records.ConnectRequested(op_id="1")),
    (480, None, records.Connected(op_id="1", connection_id="c1")),
    (1_300, None, _heard("2", "SpeechStarted")),
    (
        2_700,
        "t1",
        records.TurnStarted(
            op_id="t1",
            source=TurnSource.SPEECH,
            understood=True,
            text_ref="ref.where",
            spoken_until_ns=_spoken(2_400),
        ),
    ),
    (
        2_702,
        "t1",
        records.ExecutionQueued(op_id="e1", target="voice-support.resolve_turn", input_ref="ref.i"),
    ),
    (
        2_705,
        "t1",
        records.ExecutionQueued(
            op_id="e2", target="voice-support.lookup_order", input_ref="ref.i", parent_execution_id="e1"
        ),
    ),
    (2_900, "t1", records.ExecutionSucceeded(op_id="e2", result_ref="ref.r")),
    (2_910, "t1", records.ExecutionSucceeded(op_id="e1", result_ref="ref.r")),
    (2_911, "t1", records.UtteranceRequested(op_id="u1", text_ref="ref.customs")),
    (2_950, "t1", records.UtteranceStarted(utterance_id="u1", response_id="r1")),
    (4_900, "t1", records.UtterancePlayed(op_id="u1", heard_ref="ref.customs")),
    (4_901, "t1", records.TurnCompleted(op_id="t1")),
    (6_000, None, _heard("3", "Notice", "SpeechStarted")),
    (
        7_400,
        "t2",
        records.TurnStarted(
            op_id="t2",
            source=TurnSource.SPEECH,
            understood=True,
            text_ref="ref.story",
            spoken_until_ns=_spoken(7_100),
        ),
    ),
    (7_410, "t2", records.UtteranceRequested(op_id="u2", text_ref="ref.once")),
    (7_500, "t2", records.UtteranceStarted(utterance_id="u2", response_id="r2")),
    (8_600, None, _heard("4", "SpeechStarted")),
    (8_750, "t2", records.UtteranceInterrupted(op_id="u2", heard_ref="ref.begun", heard_ms=1_200)),
    (8_751, "t2", records.TurnCompleted(op_id="t2")),
    (
        9_900,
        "t3",
        records.TurnStarted(
            op_id="t3", source=TurnSource.SPEECH, understood=False, spoken_until_ns=_spoken(9_600)
        ),
    ),
    (
        9_910,
        "t3",
        records.ExecutionQueued(op_id="e3", target="voice-support.resolve_turn", input_ref="ref.i"),
    ),
    (10_400, "t3", records.ExecutionFailed(op_id="e3", reason=Reason.HANDLER_ERROR)),
    (10_401, "t3", records.TurnFailed(op_id="t3", reason=Reason.HANDLER_ERROR)),
    (13_000, None, records.ConnectionLost(reason=Reason.CONNECTION_LOST)),
    (13_100, None, records.RestartRequested(reason=Reason.CONNECTION_LOST)),
    (13_100, None, records.RestartStarted(op_id="5")),
    *(
        (
            13_200 + 20 * number,
            None,
            records.BackpressureApplied(
                frame_id=f"f{number}", media=Media.AUDIO, size_bytes=960, action=GateAction.GATE
            ),
        )
        for number in range(12)
    ),
    (15_000, None, records.RestartCompleted(op_id="5", connection_id="c2")),
    (
        20_000,
        "t4",
        records.TurnStarted(op_id="t4", source=TurnSource.TEXT, understood=True, text_ref="ref.typed"),
    ),
    (20_010, "t4", records.UtteranceRequested(op_id="u4", text_ref="ref.customs")),
    (20_100, "t4", records.UtteranceFailed(op_id="u4", reason=Reason.UNAVAILABLE)),
    (20_101, "t4", records.TurnCompleted(op_id="t4")),
    (27_000, None, records.CloseRequested(op_id="6", reason=CloseReason.NORMAL)),
    (27_050, None, records.Closed(op_id="6", reason=CloseReason.NORMAL)),
    (27_060, None, records.SessionEnded(reason=CloseReason.NORMAL)),
]
ENDED_MS = 27_061


async def eventful_call() -> list[Envelope]:
    """The story, as a journal holds it."""
    now_ns = STARTED_NS
    async with open_journal("memory:") as journal:
        writer = await journal.open_run("run_20261118_eventful")
        run = Run(writer, clock=lambda: now_ns)
        for at_ms, turn_id, record in STORY:
            now_ns = STARTED_NS + at_ms * 1_000_000
            run.append([record], Context(session_id="sess_1", turn_id=turn_id))
        # The story shows one of everything and is not a run that could be sealed.
        ended_ns = STARTED_NS + ENDED_MS * 1_000_000
        session_id = "sess_1"
        writer.append([Draft(record_id="end", kind="run_completed", at_ns=ended_ns, session_id=session_id)])
        await run.durable()
        return await journal.read(run.run_id)
