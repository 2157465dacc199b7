"""The model as the handler: where no code answers, the provider's model does, and here its turns are kept.

It answers what it hears by itself. What is left to do is what a handler's loop does: take the next turn, ask
for an answer where the model would give none, and be done with a turn when that has been heard.
"""

from agentfield_rt.core.records import TurnSource
from agentfield_rt.errors import RealtimeError
from agentfield_rt.history import SpokenSoFar
from agentfield_rt.voice.conversation import Conversation
from agentfield_rt.voice.link import SessionLink, Turn, UtteranceState
from agentfield_rt.voice.tools import ToolCalls
from agentfield_rt.voice.turns import Turns

INSTRUCTIONS = "You are a helpful voice assistant. Keep answers short, as one speaks."
"""What the model is told with a typed turn, where its session says nothing."""


class ModelFailed(RealtimeError):
    """The provider's model gave no answer: it counts as a handler that raised."""


class ModelHandler:
    """Runs as a `Handler` for a session whose model answers by itself.

    A turn is answered when, by the fold of the records, the model owes nothing more and nothing that it said
    is still heard; or when the user has said another.

    Args:
        spoken: The fold.
        instructions: What the session tells its model.
    """

    def __init__(
        self,
        turns: Turns,
        conversation: Conversation,
        tools: ToolCalls,
        *,
        spoken: SpokenSoFar,
        instructions: str,
    ) -> None:
        self._turns = turns
        self._answers = conversation.answers
        self._user = conversation.user
        self._tools = tools
        self._spoken = spoken
        self._instructions = instructions or INSTRUCTIONS

    async def __call__(self, link: SessionLink) -> None:
        """Take one turn after the other until the session is over.

        Raises:
            ModelFailed: it gave no answer to the turn that was taken.
        """
        while (turn := await link.next_turn()) is not None:
            if turn.source is TurnSource.TEXT:  # it answers by itself only what it hears
                utterance = link.say(None, self._instructions)
                await utterance.wait()
                if utterance.state is UtteranceState.FAILED:
                    raise ModelFailed(f"the model did not answer: {utterance.reason}")
            await self._answered(turn)
            if self._answers.failed == turn.id:
                raise ModelFailed("the model's answer failed at the provider")

    async def _answered(self, turn: Turn) -> None:
        if self._answers.latest == turn.id:  # it began before the turn's words were known
            self._turns.answer()
        while not self._is_over(turn):
            self._spoken.changed.clear()
            await self._spoken.changed.wait()

    def _is_over(self, turn: Turn) -> bool:
        if self._user.latest != turn.id:
            return True
        return self._spoken.conversation.owed is None and not (self._answers.is_open or self._tools.pending)
