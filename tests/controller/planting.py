"""How the bugs that the machine of the controller must notice are planted."""

# pyright: reportPrivateUsage=false

from collections.abc import Callable
from typing import Any

import pytest

from agentfield_rt.controller.operations import Operations
from agentfield_rt.core import commands
from agentfield_rt.core import decide as decide_module
from agentfield_rt.core import evolve as evolve_module
from agentfield_rt.core.outcomes import Records
from agentfield_rt.core.state import State
from agentfield_rt.errors import Reason
from tests.planting import Plant

EFFECTS: dict[Any, Any] = evolve_module._EFFECTS
DECIDERS: dict[Any, Any] = decide_module._DECIDERS


def decided_on(command: type[commands.Command], change: Callable[[State], State]) -> Plant:
    """`command` is decided on a state that is not the one there is."""
    original = DECIDERS[command]

    def decide(state: State, asked: Any) -> Records:
        decided: Records = original(change(state), asked)
        return decided

    return lambda patch: patch.setitem(DECIDERS, command, decide)


def settled_as(judge: Callable[[Reason, bool], bool | None]) -> Plant:
    """An operation is settled as unknown or not as `judge` says; not at all where it says None."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = Operations.settle

        def settle(
            self: Operations, op_id: str, reason: Reason, *, unknown: bool, window: Any = None
        ) -> None:
            if (judged := judge(reason, unknown)) is not None:
                original(self, op_id, reason, unknown=judged, window=window)

        patch.setattr(Operations, "settle", settle)

    return plant
