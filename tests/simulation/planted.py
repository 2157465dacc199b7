"""Bugs of the store, of the runtime and of its host, put into a world to see whether it turns red."""

# What is planted goes in where no user can reach.
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from pytest import MonkeyPatch

from agentfield_journal import Cursor
from agentfield_journal.stores.memory import MemoryStore
from agentfield_journal.stores.port import Batch
from agentfield_rt import recovery
from agentfield_rt.controller.calls import Calls
from agentfield_rt.controller.controller import RealtimeSessionController
from agentfield_rt.controller.operations import Operations
from agentfield_rt.core.deliveries import DeliveryLedger, DeliveryState
from agentfield_rt.core.records import Decision
from agentfield_rt.deliveries import Deliveries
from agentfield_rt.errors import ProviderError, Reason
from agentfield_rt.run import Run
from agentfield_rt.testing import HeldAdapter, MemoryProvider
from agentfield_rt.voice.ending import Ending
from agentfield_rt.voice.session import VoiceSession
from agentfield_rt.voice.tools import ToolGate
from tests.planting import Plant
from tests.simulation.options import FATES
from tests.simulation.storage import Memory, SimulatedDisk


def _never(*_: Any) -> bool:
    """In place of what says whether, or does something."""
    return False


def the_disk_forgets_what_it_acknowledged(patch: MonkeyPatch) -> None:
    """Of a journal in memory: the last records of every run."""

    def kill(self: Memory) -> None:
        assert isinstance(self.store, MemoryStore)
        for rows in self.store._rows.values():
            del rows[max(2, len(rows) - 20) :]

    patch.setattr(Memory, "kill", kill)


def a_sync_syncs_nothing(patch: MonkeyPatch) -> None:
    """Of a simulated disk: a power cut takes what was synced, too."""

    def cut_power(self: SimulatedDisk) -> None:
        self._reopen(self._image)

    patch.setattr(SimulatedDisk, "cut_power", cut_power)


def a_stale_owner_may_append(patch: MonkeyPatch) -> None:
    def commit(self: MemoryStore, batches: list[Batch], /) -> list[Batch]:
        for batch in batches:
            self._rows[batch.run_id].extend([row[1:] for row in batch.rows])
        return []

    patch.setattr(MemoryStore, "commit", commit)


def nothing_waits_for_the_disk(patch: MonkeyPatch) -> None:
    async def durable(self: Run, cursor: Cursor | None = None) -> None:
        await asyncio.sleep(0)

    patch.setattr(Run, "durable", durable)


def a_tool_does_not_wait_for_its_intent(patch: MonkeyPatch) -> None:
    async def run_tool(self: VoiceSession, target: str, arguments: Mapping[str, Any], _: str) -> Any:
        return await self.call(target, arguments)

    patch.setattr(VoiceSession, "_run_tool", run_tool)


def an_outcome_is_lost_on_cancel(patch: MonkeyPatch) -> None:
    failed = Operations.failed

    def forget(self: Operations, op_id: str, error: BaseException, how: Any, **more: Any) -> BaseException:
        return error if isinstance(error, asyncio.CancelledError) else failed(self, op_id, error, how, **more)

    patch.setattr(Operations, "failed", forget)


def a_frame_in_doubt_is_sent_again(patch: MonkeyPatch) -> None:
    """By the operation, once more, when nobody knows."""
    send = RealtimeSessionController.send

    async def again(self: RealtimeSessionController, frame: Any) -> bool:
        try:
            return await send(self, frame)
        except ProviderError as error:
            if error.not_done:
                raise
            for op_id in list(self.state.unknown):
                self.reconcile(op_id, Decision.NOT_DONE)
            return await send(self, frame)

    patch.setattr(RealtimeSessionController, "send", again)


def a_delivery_is_sent_twice(patch: MonkeyPatch) -> None:
    """One that was completed is not found again."""
    admit = DeliveryLedger.admit

    def forgetful(self: DeliveryLedger, key: str) -> Any:
        earlier = self._by_key.get(key)
        return None if earlier and earlier.state is DeliveryState.COMPLETED else admit(self, key)

    patch.setattr(DeliveryLedger, "admit", forgetful)


def a_delivery_does_not_wait_for_its_intent(patch: MonkeyPatch) -> None:
    dispatch = Deliveries._dispatch

    async def hasty(self: Deliveries, request: Any, parcel: Any, sink: Any) -> None:
        run, self._run = self._run, _Hasty(self._run)  # type: ignore[assignment]
        try:
            await dispatch(self, request, parcel, sink)
        finally:
            self._run = run

    patch.setattr(Deliveries, "_dispatch", hasty)


class _Hasty:
    """A run whose disk nobody waits for."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    async def durable(self, cursor: Cursor | None = None) -> None:
        await asyncio.sleep(0)


def a_tool_needs_no_approval(patch: MonkeyPatch) -> None:
    patch.setattr(ToolGate, "needs_approval", _never)


def a_call_that_ends_is_not_hung_up(patch: MonkeyPatch) -> None:
    async def hang_up(self: Ending, reason: Any) -> None:
        self._controller.fail(Reason.UNAVAILABLE)

    patch.setattr(Ending, "_hang_up", hang_up)


def a_receive_is_not_told_of_a_loss(patch: MonkeyPatch) -> None:
    patch.setattr(Calls, "lose_connection", _never)


def nobody_hangs_up_what_a_stale_owner_connected(patch: MonkeyPatch) -> None:
    async def reconnect(controller: RealtimeSessionController, *_: object) -> None:
        await controller.reconnect(Reason.PROCESS_LOST)
        await controller.durable()

    patch.setattr(recovery, "_reconnect", reconnect)


def a_recovered_process_forgets_what_was_open(patch: MonkeyPatch) -> None:
    patch.setattr(recovery, "_close_features", _never)


def a_task_outlives_its_session(patch: MonkeyPatch) -> None:
    begin = Ending.begin

    def leave(self: Ending, reason: Any) -> asyncio.Task[None]:
        asyncio.get_running_loop().create_task(_for_ever(), name="left behind")
        return begin(self, reason)

    patch.setattr(Ending, "begin", leave)


async def _for_ever() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


def a_provider_hears_a_frame_twice(patch: MonkeyPatch) -> None:
    """The adapter's bug: it repeats by itself what the runtime handed over once."""
    inwards: Callable[..., Awaitable[Any]] = HeldAdapter._inwards

    async def twice(self: HeldAdapter, call: Any, act: Callable[[], Awaitable[Any]]) -> Any:
        if call.method == "send" and isinstance(self.inner, MemoryProvider):
            self.effects.calls.append(call)
        return await inwards(self, call, act)

    patch.setattr(HeldAdapter, "_inwards", twice)


DEADLY = {
    "storage": "memory",
    "ends": ("kill",),
    "process_s": 30.0,
    "commit_max_s": 2.0,
    "bare_lines": 0,
    "call_lines": 4,
}
"""Processes die young, while much is on its way to the disk."""

CONTESTED = {
    "storage": "memory",
    "ends": ("takeover",),
    "process_s": 60.0,
    "fates": dict.fromkeys(FATES, 0.05),
}
"""Another process takes over every minute, and providers often do not answer."""

PLANTED: dict[Plant, dict[str, Any]] = {
    the_disk_forgets_what_it_acknowledged: {},
    a_sync_syncs_nothing: {"storage": "disk", "ends": ("power",)},
    a_stale_owner_may_append: CONTESTED,
    nothing_waits_for_the_disk: DEADLY,
    a_tool_does_not_wait_for_its_intent: DEADLY,
    an_outcome_is_lost_on_cancel: {},
    a_frame_in_doubt_is_sent_again: {},
    a_delivery_is_sent_twice: {},
    a_delivery_does_not_wait_for_its_intent: DEADLY,
    a_tool_needs_no_approval: {},
    a_call_that_ends_is_not_hung_up: {},
    a_receive_is_not_told_of_a_loss: CONTESTED,
    nobody_hangs_up_what_a_stale_owner_connected: CONTESTED,
    a_recovered_process_forgets_what_was_open: DEADLY,
    a_task_outlives_its_session: {},
    a_provider_hears_a_frame_twice: {},
}
"""What is planted, and the kind of world that shows it soon."""
