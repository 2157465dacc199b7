"""One call of the synthetic caller: the session over HTTP, the sound over WebRTC, and what came of both.

It ends by what happened, not by the clock: everything was said, and everything that came of it is over.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from agentfield_rt.audibility import Span
from agentfield_rt.cli.demo.call_log import CallLog, CallTurn
from agentfield_rt.cli.demo.peer import CallerPeer
from agentfield_rt.cli.demo.recording import RATE_HZ, Samples, first_sound, speech_spans
from agentfield_rt.cli.failures import ExitCode, Failure
from agentfield_rt.cli.http import SDP, PlaneClient

AFTERMATH_S_MAX = 90.0
"""How long the answers may go on after the caller's last word."""

UNHEARD_S_MAX = 4.0
"""When no turn came of the caller's last sound by then, it was taken for noise."""

_ENDS_WELL = ("normal", "caller_gone")
_NS = 1_000_000_000
_EARLY_NS = 150_000_000  # a record that an answer began may be written after its first sound


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReport:
    """A turn for whoever called.

    Attributes:
        heard: What the agent recognised.
        said: What the caller heard of the answer.
        reply_ms: From the end of the caller's speech to the first sound of the answer, both read off the
            caller's own recording; None when there was no answer.
    """

    heard: str
    understood: bool
    said: str
    reply_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """A call that is over; `reply` is everything the caller heard."""

    session_id: str
    run_id: str
    target: str
    turns: list[TurnReport]
    reply: Samples


async def make_call(client: PlaneClient, recording: Samples, *, connected: Callable[[], None]) -> CallReport:
    """Call the first WebRTC session that the plane offers, and stay until the conversation is over.

    Args:
        connected: Called when the caller begins to speak.

    Raises:
        Failure: there is nothing to call, no connection, or the call broke off.
    """
    targets = (await client.get_json("session targets", "/api/v1/session-targets"))["targets"]
    target = next((entry["target"] for entry in targets if entry["transport"] == "webrtc"), None)
    if target is None:
        raise Failure("this server has no session with transport=webrtc to call")
    session = await client.post_json("session start", f"/api/v1/session-targets/{target}/start", {})
    log = CallLog()
    peer = CallerPeer(recording, on_spoken=log.wake)
    following = asyncio.create_task(_follow(client, session["events_url"], log), name="caller's events")
    try:
        offer = (await peer.offer()).encode()
        answer = await client.post("session offer", session["offer_url"], body=offer, headers=SDP)
        await peer.accept(answer.decode())
        connected()
        await _converse(peer, log, len(recording) / RATE_HZ)
        if log.close_reason is None:
            path = f"/api/v1/session-instances/{session['session_id']}/close"
            await client.post_json("session close", path, {})
            await log.until_over()
    finally:
        await peer.close()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    if log.close_reason not in _ENDS_WELL:
        was_stopped = log.close_reason == "shutdown"
        message = f"the call broke off ({str(log.close_reason).replace('_', ' ')})"
        raise Failure(message, ExitCode.INTERRUPTED if was_stopped else ExitCode.SERVER)
    return CallReport(
        session_id=session["session_id"],
        run_id=session["run_id"],
        target=target,
        turns=_reports(log, peer),
        reply=peer.heard(),
    )


async def _follow(client: PlaneClient, path: str, log: CallLog) -> None:
    try:
        async for event in client.events("events", f"{path}?presence=1"):
            if event.name == "record":
                log.take(event.data)
    except Failure as failure:
        log.fail(failure)
    else:
        log.fail(Failure("the server ended the call's events", ExitCode.SERVER))


async def _converse(peer: CallerPeer, log: CallLog, spoken_s: float) -> None:
    """Say everything, and wait until what came of it is over."""
    try:
        async with asyncio.timeout(spoken_s + AFTERMATH_S_MAX):
            await log.until(lambda: peer.has_spoken)
            if spans := speech_spans(peer.said):
                last_ns = peer.started_ns + spans[-1].start * _NS // RATE_HZ
                with contextlib.suppress(TimeoutError):
                    turn = log.until(lambda: log.has_turn_since(last_ns))
                    await asyncio.wait_for(turn, UNHEARD_S_MAX)
            await log.until(lambda: log.is_quiet)
    except TimeoutError:
        message = f"the answers did not end within {AFTERMATH_S_MAX:.0f} s of the caller's last word"
        raise Failure(message, ExitCode.SERVER) from None


def _reports(log: CallLog, peer: CallerPeer) -> list[TurnReport]:
    spans, heard, started_ns = speech_spans(peer.said), peer.heard(), peer.started_ns
    return [
        TurnReport(
            heard=turn.heard,
            understood=turn.understood,
            said=" ".join(turn.said),
            reply_ms=reply_ms(turn, spans, heard, started_ns=started_ns),
        )
        for turn in log.turns.values()
    ]


def reply_ms(turn: CallTurn, spans: list[Span], heard: Samples, *, started_ns: int) -> int | None:
    """From the caller's last sound of a turn to the first sound of its answer.

    Args:
        spans: Where the caller spoke, on the caller's clock.
        heard: What the caller heard, on the same clock.
        started_ns: Wall time of that clock's first sample.
    """
    ends = [span.end for span in spans if _wall_ns(span.start, started_ns) < turn.spoken_until_ns]
    if not ends or turn.answer_started_ns is None:
        return None
    begins = (turn.answer_started_ns - _EARLY_NS - started_ns) * RATE_HZ // _NS
    sound = first_sound(heard, Span(max(ends[-1], begins), len(heard)))
    return None if sound is None else round((sound - ends[-1]) * 1000 / RATE_HZ)


def _wall_ns(sample: int, started_ns: int) -> int:
    return started_ns + sample * _NS // RATE_HZ
