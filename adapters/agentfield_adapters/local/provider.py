"""What one provider process holds: its senses, its sessions, its calls, and the seed they draw from."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

from agentfield_adapters.local.brain import Brain, RuleBrain
from agentfield_adapters.local.conversation.conversation import Conversation, Senses
from agentfield_adapters.local.conversation.playback import Playback
from agentfield_adapters.local.ears.recogniser import Recogniser
from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.mouth.voice import Mouth
from agentfield_adapters.local.protocol.session import SESSION_LIFETIME_S, Session


@dataclass(frozen=True, slots=True)
class NewSession:
    """A conversation about to begin, and the ids that belong to it."""

    conversation: Conversation
    call_id: str


class Provider:
    """One provider. `start` before the first session, `stop` after the last.

    Args:
        seed: Of all ids: the n-th session of two providers with one seed has the same.
        brain: Decides the answers.
    """

    def __init__(self, seed: int, *, brain: Brain | None = None) -> None:
        self._seed = seed
        self._ordinals = itertools.count(1)
        self._senses = Senses(Recogniser(), Mouth(), brain or RuleBrain())

    async def start(self) -> None:
        """Start the recogniser's and the speech synthesiser's processes."""
        await self._senses.recogniser.start()
        await self._senses.mouth.start()

    async def stop(self) -> None:
        """End them."""
        await self._senses.recogniser.stop()
        await self._senses.mouth.stop()

    def new_session(self, model: str, playback: Playback) -> NewSession:
        """Return a conversation with the default settings; its call id ends like its session id."""
        ids = Ids(self._seed, f"session {next(self._ordinals)}")
        session_id = ids.new("sess")
        session = Session(id=session_id, expires_at=int(time.time()) + SESSION_LIFETIME_S, model=model)
        conversation = Conversation(session, self._senses, ids=ids, playback=playback)
        return NewSession(conversation, session_id.replace("sess_", "rtc_"))
