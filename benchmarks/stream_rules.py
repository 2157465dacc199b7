"""What rules cost on a stream: time for each character as the text grows, and the most that is held.

Linear means that a character costs the same in a text four times as long. The patterns are ones that make
backtracking engines stop; the window is the largest there may be, so that nothing is cheap by being short.
"""

import random
import statistics
import time

from agentfield_rt.core.rules.ruleset import WINDOW_CHARS_MAX
from agentfield_rt.rules import (
    Channel,
    Drop,
    Literal,
    Message,
    Regex,
    RepeatKeys,
    Rule,
    RuleSet,
    RuleStream,
    compile_rules,
)

CHARS = 40_000
ROUNDS = 5
MESSAGE = Message(run_id="run", message_id="item")


def text(chars: int, alphabet: str) -> str:
    return "".join(random.Random(1).choices(alphabet, k=chars))


def once(rules: RuleSet, whole: str, piece_chars: int) -> tuple[float, int]:
    """Seconds for a message in pieces, and the most characters that were held."""
    stream = RuleStream(rules, Channel.ASSISTANT_TEXT, MESSAGE, repeats=RepeatKeys(), digest=lambda _: "")
    held = 0
    begin = time.perf_counter()
    for at in range(0, len(whole), piece_chars):
        stream.feed(whole[at : at + piece_chars])
        held = max(held, stream.held_chars)
    stream.finish()
    return time.perf_counter() - begin, held


def measure(name: str, rule: Rule, alphabet: str, piece_chars: int) -> None:
    rules = compile_rules([rule])
    short, long = (text(chars, alphabet) for chars in (CHARS, CHARS * 4))
    costs: list[float] = []
    ratios: list[float] = []
    held_chars = 0
    for _ in range(ROUNDS):  # both in each round: what else the machine does hits both
        seconds, held = once(rules, short, piece_chars)
        seconds_long, held_long = once(rules, long, piece_chars)
        costs.append(seconds / CHARS * 1e6)
        ratios.append(seconds_long / seconds / 4)
        held_chars = max(held_chars, held, held_long)
    cost, ratio = statistics.median(costs), statistics.median(ratios)
    print(f"{name:<34} {piece_chars:>6} {cost:>9.3f} {ratio:>8.2f} {held_chars:>7}")


def main() -> None:
    print(f"{'rule':<34} {'piece':>6} {'µs/char':>9} {'4 x text':>8} {'held':>7}")
    for pattern, alphabet, window_chars in (
        (r"\d{13,16}", "0123456789 ab", 256),
        (r"[\w.+-]+@[\w-]+\.[\w.]+", "ab@. ", 256),
        (r"(a|a)*b", "a", WINDOW_CHARS_MAX),
        (r"(a*)*b", "a", WINDOW_CHARS_MAX),
        (r"a.*b.*c", "ab", WINDOW_CHARS_MAX),
    ):
        rule = Rule(id="rule", matcher=Regex(pattern), action=Drop(), window_chars=window_chars)
        for piece_chars in (4, 64):
            measure(pattern, rule, alphabet, piece_chars)
    literal = Rule(id="rule", matcher=Literal("a" * 200 + "b"), action=Drop())
    for piece_chars in (4, 64):
        measure("literal, 201 characters", literal, "a", piece_chars)


if __name__ == "__main__":
    main()
