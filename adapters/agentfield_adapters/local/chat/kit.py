"""What one answer is made with."""

from __future__ import annotations

from dataclasses import dataclass

from agentfield_adapters.local.conversation.conversation import Senses
from agentfield_adapters.local.conversation.playback import TIMES_REAL_TIME
from agentfield_adapters.local.ids import Ids


@dataclass(frozen=True, slots=True)
class Kit:
    """Senses, ids of its own, and how fast speech is sent."""

    senses: Senses
    ids: Ids
    times_real_time: float = TIMES_REAL_TIME
