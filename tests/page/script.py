"""What happens in a call, told record by record: the scenes the page's tests play."""

from tests.page.fake_session import FakeSession


async def ask(session: FakeSession, turn_id: str, text: str, *, source: str = "speech") -> None:
    """The user says something and it becomes a turn."""
    if source == "speech":
        item = f"item_{turn_id}"
        words = text.split()
        await session.live("state", user="speaking", agent="listening")
        await session.live("speech_started", item_id=item)
        for count in range(1, len(words) + 1):
            await session.live("partial", item_id=item, text=" ".join(words[:count]))
        await session.live("speech_stopped", item_id=item)
    await session.live("state", user="listening", agent="thinking")
    spoken_until_ns = int(session.clock_ms * 1_000_000)
    await session.record(
        "turn_started", turn_id, turn_id, after_ms=340,
        source=source, understood=True, text_text=text, spoken_until_ns=spoken_until_ns,
    )  # fmt: skip


async def execute(session: FakeSession, turn_id: str, *, intent: str, order: int) -> None:
    """Two reasoners, the one called by the other."""
    outer, inner = f"exec_{turn_id}_a", f"exec_{turn_id}_b"
    await session.record(
        "execution_queued", outer, turn_id,
        target="voice-support.resolve_turn", input_text=f'{{"turn": {{"intent": "{intent}"}}}}',
    )  # fmt: skip
    await session.record(
        "execution_queued", inner, turn_id,
        target="voice-support.lookup_order", input_text=f'{{"number": {order}}}', parent_execution_id=outer,
    )  # fmt: skip
    status = '{"number": 4, "status": "in customs"}'
    await session.record("execution_succeeded", inner, turn_id, after_ms=9, result_text=status)
    sentence = "a sentence that is too long to be a field"
    result = f'{{"intent": "{intent}", "order": {order}, "spoken_response": "{sentence}"}}'
    await session.record("execution_succeeded", outer, turn_id, after_ms=4, result_text=result)


async def start_saying(session: FakeSession, turn_id: str | None, text: str) -> str:
    """The agent begins to say `text`; answers the utterance's id."""
    utterance = f"utt_{turn_id or 'greeting'}"
    await session.record("utterance_requested", utterance, turn_id, text_text=text, verbatim=True)
    send = f"op_send_{utterance}"
    await session.record(
        "realtime_input_send_requested", send, frame_id="frm_1", media="text", size_bytes=len(text)
    )
    await session.record("realtime_input_sent", send, after_ms=2, cursor=1)
    receive = f"op_receive_{utterance}"
    await session.record("realtime_output_receive_requested", receive, demand=32)
    await session.live("state", user="listening", agent="speaking")
    await session.record(
        "utterance_started", None, turn_id, after_ms=60, utterance_id=utterance, response_id="resp_1"
    )
    await session.record(
        "realtime_output_received", receive, after_ms=20,
        cursor=12, events={"ResponseStarted": 1, "OutputAudio": 11},
    )  # fmt: skip
    return utterance


async def finish_saying(session: FakeSession, utterance: str, turn_id: str | None, text: str) -> None:
    await session.live("saying", utterance_id=utterance, text=text)
    await session.record("utterance_played", utterance, turn_id, after_ms=1800, heard_text=text)
    if turn_id is not None:
        await session.record("turn_completed", turn_id, turn_id)
    await session.live("state", user="listening", agent="listening")


async def cut_in(session: FakeSession, utterance: str, turn_id: str, *, heard: str, heard_ms: int) -> None:
    """The user speaks while the agent does: what was heard stands, the rest was never heard."""
    op_id = f"op_interrupt_{utterance}"
    await session.record("realtime_interrupt_requested", op_id, response_id="resp_1", heard_ms=heard_ms)
    await session.record("realtime_interrupted", op_id, after_ms=3, response_id="resp_1")
    await session.record("utterance_interrupted", utterance, turn_id, heard_text=heard, heard_ms=heard_ms)
    await session.record("turn_completed", turn_id, turn_id)


async def demo_call(session: FakeSession) -> None:
    """A whole call up to the middle of its fourth answer, with a barge-in and a turn nobody understood."""
    hello = "Hello, this is the order desk. How can I help?"
    await finish_saying(session, await start_saying(session, None, hello), None, hello)
    await ask(session, "turn_1", "where is order four")
    await execute(session, "turn_1", intent="order_status", order=4)
    answer = "Order four is in customs. It should be with you on Friday."
    await finish_saying(session, await start_saying(session, "turn_1", answer), "turn_1", answer)

    await ask(session, "turn_2", "tell me a long story")
    await execute(session, "turn_2", intent="tell_story", order=0)
    story = (
        "Once upon a time there was a parcel that wanted to see the sea, "
        "and so it set out on a Monday morning."
    )
    utterance = await start_saying(session, "turn_2", story)
    heard = "Once upon a time there was a parcel that wanted"
    await session.live("saying", utterance_id=utterance, text=heard)
    await cut_in(session, utterance, "turn_2", heard=heard, heard_ms=2140)

    await session.record(
        "turn_started", "turn_3", "turn_3", source="speech", understood=False,
        spoken_until_ns=int((session.clock_ms - 330) * 1_000_000),
    )  # fmt: skip
    sorry = "Sorry, I did not catch that."
    await finish_saying(session, await start_saying(session, "turn_3", sorry), "turn_3", sorry)

    await ask(session, "turn_4", "send a replacement for order four")
    await execute(session, "turn_4", intent="replace_order", order=4)
    promise = "I have sent a replacement for order four. It leaves the warehouse tonight."
    utterance = await start_saying(session, "turn_4", promise)
    await session.live("saying", utterance_id=utterance, text="I have sent a replacement")
    await session.live("speech_started", item_id="item_5")
    await session.live("partial", item_id="item_5", text="thank you")
