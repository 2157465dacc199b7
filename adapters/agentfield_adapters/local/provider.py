"""What one provider process holds: its senses, and how a session is made of them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from agentfield_adapters.local.brain import Brain, RuleBrain
from agentfield_adapters.local.conversation.conversation import Conversation, Senses
from agentfield_adapters.local.conversation.playback import Playback, SocketPlayback
from agentfield_adapters.local.ears.recogniser import Recogniser
from agentfield_adapters.local.ears.voice_activity import VoiceActivity
from agentfield_adapters.local.ids import Ids
from agentfield_adapters.local.instrument.setups import DEFAULT_NAME, Setup
from agentfield_adapters.local.mouth.voice import Mouth
from agentfield_adapters.local.protocol.session import Session
from agentfield_adapters.local.scenario.script import ScriptBrain
from agentfield_adapters.local.scenario.synthetic import Loudness, SyntheticMouth, SyntheticRecogniser


@dataclass(frozen=True, slots=True)
class NewSession:
    """A conversation about to begin, and the ids that belong to it."""

    conversation: Conversation
    call_id: str


class Provider:
    """One provider. `start` before the first session, `stop` after the last.

    Args:
        brain: Decides the answers that no scenario gives.
    """

    def __init__(self, *, brain: Brain | None = None) -> None:
        self._brain = brain or RuleBrain()
        self._recogniser, self._mouth = Recogniser(), Mouth()

    async def start(self, setup: Setup) -> None:
        """Start the recogniser's and the speech synthesiser's processes, if sessions will want them."""
        if setup.scenario.senses == "real":
            await self._recogniser.start()
            await self._mouth.start()

    async def stop(self) -> None:
        """End them."""
        await self._recogniser.stop()
        await self._mouth.stop()

    def new_session(self, model: str, playback: Playback, setup: Setup) -> NewSession:
        """Return a conversation with the default settings; its call id ends like its session id.

        The n-th sessions of two setups with one name and one seed have the same ids.
        """
        scope = "session" if setup.name == DEFAULT_NAME else f"{setup.name} session"
        ids = Ids(setup.seed, f"{scope} {setup.next_ordinal()}")
        session_id = ids.new("sess")
        expires_at = int(time.time()) + setup.scenario.lifetime_s
        session = Session(id=session_id, expires_at=expires_at, model=model)
        conversation = Conversation(session, self.senses(setup), ids=ids, playback=playback)
        return NewSession(conversation, session_id.replace("sess_", "rtc_"))

    def senses(self, setup: Setup) -> Senses:
        """Return what a session, or one answer, of `setup` is made with."""
        scenario = setup.scenario
        brain = ScriptBrain(scenario.turns, self._brain) if scenario.turns else self._brain
        if scenario.senses == "real":
            return Senses(self._recogniser, self._mouth, brain, VoiceActivity)
        return Senses(SyntheticRecogniser(scenario.transcripts), SyntheticMouth(setup.seed), brain, Loudness)


def socket_playback(setup: Setup) -> SocketPlayback:
    """Return where the speech of a websocket session goes, at its scenario's pace."""
    return SocketPlayback(times_real_time(setup))


def times_real_time(setup: Setup) -> float:
    """Return how fast speech is sent."""
    pace = setup.scenario.pace
    return math.inf if pace == "instant" else pace
