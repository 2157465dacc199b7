"""Bugs planted where phone calls are handed on."""

# pyright: reportPrivateUsage=false

from typing import Any

import pytest

from agentfield_rt.controller.controller import RealtimeSessionController
from agentfield_rt.core import commands, records
from agentfield_rt.core import decide as decide_module
from agentfield_rt.core.lifecycle import REPAIRABLE
from agentfield_rt.core.outcomes import next_op_id
from agentfield_rt.testing import run
from tests.controller import test_referring
from tests.controller.machine_referring import ReferringMachine
from tests.controller.planting import DECIDERS
from tests.planting import Bugs

BUGS = Bugs(seen_by=ReferringMachine)
planted = BUGS.planted


@planted("a call in doubt is handed on again")
def doubt_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide_module, "REPAIRABLE", REPAIRABLE | {commands.Refer})


def _a_second_at_the_same_time() -> None:
    run(test_referring.test_a_cancelled_one_is_in_doubt_and_a_second_at_the_same_time_is_refused())


@planted("a call is handed on twice at a time", seen_by=_a_second_at_the_same_time)
def overlapping(patch: pytest.MonkeyPatch) -> None:
    def refer(state: Any, command: commands.Refer) -> Any:
        return (records.ReferRequested(op_id=next_op_id(state), target_ref=command.target_ref),)

    patch.setitem(DECIDERS, commands.Refer, refer)


@planted("a call is handed on and nothing says so")
def unannounced(patch: pytest.MonkeyPatch) -> None:
    async def refer(self: RealtimeSessionController, target_uri: str, *, target_ref: str) -> None:
        adapter: Any = self._adapter
        await adapter.refer(target_uri)

    patch.setattr(RealtimeSessionController, "refer", refer)


@planted("a call is handed on elsewhere than was announced")
def elsewhere(patch: pytest.MonkeyPatch) -> None:
    original = RealtimeSessionController.refer

    async def refer(self: RealtimeSessionController, target_uri: str, *, target_ref: str) -> None:
        await original(self, f"{target_uri}0", target_ref=target_ref)

    patch.setattr(RealtimeSessionController, "refer", refer)
