"""The provider boundary of one session: what is asked of the adapter, what is written before and after.

`controller` is what a host calls. `operations` gives every adapter call its durable intent and its one
outcome. `outgoing` and `incoming` decide what becomes of a frame or a receive; `flow` and `audio` do so for
media that flows in windows, `window` counts it. `calls` ends what takes too long.
"""

from agentfield_rt.controller.backoff import Backoff
from agentfield_rt.controller.calls import Deadlines
from agentfield_rt.controller.controller import BoundarySettings, RealtimeSessionController
from agentfield_rt.controller.window import EACH, Windows

__all__ = ["EACH", "Backoff", "BoundarySettings", "Deadlines", "RealtimeSessionController", "Windows"]
