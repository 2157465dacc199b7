"""An order desk that takes calls. `python examples/voice_support.py` serves it, `af demo` shows it off."""

import re
from typing import Any

from agentfield_rt import Agent, RealtimeSession

app = Agent(node_id="voice-support", description="Finds orders, cancels them, sends replacements")

DIGITS = "one two three four five six seven eight nine".split()
TENS = {20: "twenty", 30: "thirty", 40: "forty"}
NUMBERS = dict(enumerate([*DIGITS, "ten", "eleven", "twelve"], start=1)) | {
    tens + n: f"{word} {digit}".strip()
    for tens, word in TENS.items()
    for n, digit in enumerate(["", *DIGITS])
}

STATUSES = ["stuck in customs", "waiting at the post office", "on its way to you", "still in our warehouse"]

ANSWERS = {
    "hello": "Hello, this is the order desk. Which order is it about?",
    "what can you do": "I find orders, cancel them, and send replacements.",
    "where is my order": "Which one? Please tell me its number.",
    "what are your opening hours": "We are open from nine to five, Monday to Friday.",
    "what time is it": "I have no clock, but it is never too late to call.",
    "let me talk to a person": "Everybody is in the warehouse. Somebody will call you back today.",
    "tell me a joke": "A parcel walks into a bar. The barman says, sorry, we do not deliver.",
    "tell me a long story": "Once upon a time a parcel wanted to see the world. It took the night train to "
    "the harbour and a ship across the sea, and it looked out of every window. Every evening it wrote a "
    "postcard home, and every morning it was further away, until nobody knew where it was any more.",
    "yes": "There is nothing to confirm. What can I do for you?",
    "no": "Very well. What else can I do for you?",
    "thank you": "You are welcome.",
    "goodbye": "Goodbye, and thank you for calling.",
}


@app.reasoner()
async def lookup_order(number: int) -> str:
    """Where an order is."""
    return STATUSES[number % len(STATUSES)]


@app.reasoner()
async def start_replacement(number: int) -> str:
    """Send an order once more."""
    return f"A new parcel for order {NUMBERS[number]} leaves today."


@app.reasoner()
async def cancel_order(number: int) -> str:
    """Cancel an order, for good."""
    return f"Order {NUMBERS[number]} is cancelled. Your money is on its way back."


@app.reasoner()
async def resolve_turn(turn: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What to say, given what was said `before`; `confirm` is the order that a yes would cancel."""
    text = " ".join(
        word for word in re.findall(r"\w+", turn["text"].lower()) if word not in ("please", "number")
    )
    to_confirm = before.get("confirm")
    if not turn["understood"]:
        return before | {"spoken_response": "Sorry, I did not catch that. Please say it again."}
    if text == "repeat that":
        return {"spoken_response": "I have not said anything yet."} | before
    if to_confirm and text.startswith("yes"):
        return {"spoken_response": await app.call("voice-support.cancel_order", number=to_confirm)}
    if to_confirm and text.startswith("no"):
        return {"spoken_response": f"All right, order {NUMBERS[to_confirm]} stays as it is."}
    if asked := re.search(r"\border (.+)", text):
        return await answer_about(asked[1], text)
    known = next((words for words in ANSWERS if text.startswith(words)), "what can you do")
    return {"spoken_response": ANSWERS[known], "over": known == "goodbye"}


async def answer_about(order: str, text: str) -> dict[str, Any]:
    number = next((n for n, words in NUMBERS.items() if order in (words, str(n))), None)
    if number is None:
        return {"spoken_response": "I do not know that order. Their numbers are one to forty nine."}
    if "cancel" in text:
        return {"spoken_response": f"Shall I cancel order {NUMBERS[number]}?", "confirm": number}
    if "replacement" in text:
        return {"spoken_response": await app.call("voice-support.start_replacement", number=number)}
    where = await app.call("voice-support.lookup_order", number=number)
    return {"spoken_response": f"Order {NUMBERS[number]} is {where}."}


VOICE: dict[str, Any] = {
    "tools": ["voice-support.lookup_order", "voice-support.resolve_turn"],
    "tags": ["support:voice"],
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 320},
    "metadata": {
        "title": "Order desk",
        "hints": [
            "where is order eight",
            "cancel order number twelve",
            "tell me a long story",
            "what can you do",
        ],
    },
    # What callers may say. It makes a small recogniser a good one, and unknown speech is not guessed at.
    "phrases": [
        "hello",
        "what can you do",
        "[please] where is my order",
        "where is order [number] <number>",
        "[please] cancel order [number] <number>",
        "[please] send a replacement for order [number] <number>",
        "what are your opening hours",
        "what time is it",
        "[please] let me talk to a person",
        "[please] repeat that",
        "tell me a joke",
        "tell me a long story",
        "yes [please]",
        "no [thank you]",
        "thank you [very much]",
        "goodbye",
    ],
    "rules": {
        "digit": " | ".join(DIGITS),
        "number": "<digit> | ten | eleven | twelve | (twenty | thirty | forty) [<digit>]",
    },
}


@app.session("voice-websocket", provider="local", transport="websocket", **VOICE)
@app.session("voice", provider="local", transport="webrtc", **VOICE)
async def voice(session: RealtimeSession) -> None:
    answer: dict[str, Any] = {}
    async for turn in session.turns():
        answer = await session.call("voice-support.resolve_turn", turn=turn, before=answer)
        await session.say(answer["spoken_response"])
        if answer.get("over"):
            await session.close()


if __name__ == "__main__":
    app.run()
