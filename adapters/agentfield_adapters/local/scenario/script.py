"""A brain that answers as a scenario says, and by rules where that says nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agentfield_adapters.local.brain import Act, Brain, Call, Prompt, Say, is_dictated, newest_text
from agentfield_adapters.local.scenario.scenario import ScriptedTurn


class ScriptBrain:
    """Answers for one session.

    Args:
        turns: Of those left, the first that fits is given.
        otherwise: Answers when none fits, and when the words are dictated.
    """

    def __init__(self, turns: Sequence[ScriptedTurn], otherwise: Brain) -> None:
        self._left: list[tuple[ScriptedTurn, int | None]] = [(turn, turn.times or None) for turn in turns]
        self._otherwise = otherwise

    async def answer(self, prompt: Prompt) -> Sequence[Act]:
        """Return the acts of the turn that fits."""
        if not is_dictated(prompt):
            text = newest_text(prompt).lower()
            for index, (turn, left) in enumerate(self._left):
                if left != 0 and (turn.when is None or turn.when.lower() in text):
                    self._left[index] = (turn, None if left is None else left - 1)
                    return _acts(turn)
        return await self._otherwise.answer(prompt)


def _acts(turn: ScriptedTurn) -> list[Act]:
    words: list[Act] = [] if turn.say is None else [Say(turn.say)]
    calls = [Call(call.name, msgspec.json.encode(call.arguments).decode()) for call in turn.calls]
    return [*words, *calls]
