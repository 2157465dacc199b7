"""Opens provider connections: the first one, and those that replace it. Knows no frames and no events."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agentfield_rt.controller.backoff import Backoff
from agentfield_rt.controller.calls import Call
from agentfield_rt.controller.operations import Operations
from agentfield_rt.core import commands
from agentfield_rt.core.lifecycle import OperationName
from agentfield_rt.core.names import is_name
from agentfield_rt.core.records import Decision, Limits
from agentfield_rt.errors import CloseReason, ProviderError, Reason
from agentfield_rt.items import History
from agentfield_rt.ports import Connection, ConnectRequest, ProviderAdapter


@dataclass(slots=True)
class _Tries:
    """The tries for one new connection, since `began_s` (monotonic)."""

    began_s: float
    count: int = 0

    def restored(self, request: ConnectRequest, connection: Connection) -> commands.Restored | None:
        """What the journal says of the conversation on the new connection; None: it was not told any."""
        history = request.history
        if history is None or connection.restored is None:
            return None
        return commands.Restored(
            attempt=self.count,
            restored=connection.restored,
            left_out=history.left_out + len(history.items) - connection.restored,
            answer_owed=history.answer_owed,
            gap_ms=int((_now_s() - self.began_s) * 1000),
        )


class Connecting:
    """The connections of one session, one after the other.

    Args:
        release: Lets the frames follow that waited for a new connection.
        reconcile: Says what became of an operation whose outcome is unknown.
    """

    def __init__(
        self,
        adapter: ProviderAdapter,
        operations: Operations,
        backoff: Backoff,
        *,
        release: Callable[[], asyncio.Task[None] | None],
        reconcile: Callable[[str, Decision], None],
    ) -> None:
        self._adapter = adapter
        self._operations = operations
        self._backoff = backoff
        self._release = release
        self._reconcile = reconcile

    async def connect(self, request: ConnectRequest, limits: Limits) -> Connection:
        """See `RealtimeSessionController.connect`."""
        connection = await self._operations.operate(
            commands.Connect(limits),
            lambda _: self._checked(self._adapter.connect(request)),
            lambda op_id, connection: commands.Connected(op_id, connection.connection_id),
            deadline_s=self._operations.deadlines.connect_s,
        )
        self._backoff.connected(_now_s())
        return connection

    async def restart(
        self, request: ConnectRequest, reason: Reason, history: Callable[[], History] | None
    ) -> Connection:
        """See `RealtimeSessionController.restart`."""
        return await self._restart(request, reason, history, tries=_Tries(_now_s()))

    async def reconnect(
        self, request: ConnectRequest, reason: Reason, history: Callable[[], History] | None
    ) -> Connection:
        """See `RealtimeSessionController.reconnect`."""
        tries = _Tries(_now_s())
        give_up_at_s = tries.began_s + self._backoff.give_up_s
        while True:
            await asyncio.sleep(self._backoff.delay_s(_now_s()))
            try:
                return await self._restart(request, reason, history, tries=tries)
            except ProviderError as error:
                self._abandon_restart()
                is_final = error.not_done and not error.retryable
                if is_final or _now_s() >= give_up_at_s:
                    raise

    async def _restart(
        self,
        request: ConnectRequest,
        reason: Reason,
        history: Callable[[], History] | None,
        *,
        tries: _Tries,
    ) -> Connection:
        # Nothing is awaited until the intent is written, so nothing is said that the history does not tell.
        request = replace(request, history=None if history is None else history())
        tries.count += 1
        self._operations.cut_windows()
        connection = await self._operations.operate(
            commands.Restart(reason),
            lambda call: self._replace(call, request),
            lambda op_id, connection: commands.Connected(
                op_id, connection.connection_id, tries.restored(request, connection)
            ),
            deadline_s=self._operations.deadlines.connect_s,
        )
        self._backoff.connected(_now_s())
        if (releasing := self._release()) is not None:
            await asyncio.shield(releasing)
        return connection

    async def _replace(self, call: Call, request: ConnectRequest) -> Connection:
        """What the old connection was busy with cannot succeed any more; do not wait for it."""
        if not self._operations.state.is_restarting:
            raise ProviderError("the session is being closed", reason=Reason.SUPERSEDED)
        self._operations.calls.supersede(but=call)
        return await self._checked(self._adapter.restart(request))

    async def _checked(self, connecting: Awaitable[Connection]) -> Connection:
        """One of another session, one that we had before or one without a name is hung up and is none."""
        connection, state = await connecting, self._operations.state
        is_ours = connection.session_id == state.session_id and is_name(connection.connection_id)
        if is_ours and connection.connection_id not in state.connection_ids:
            return connection
        message = "the adapter gave a connection that is not this session's"
        try:
            await self._adapter.close(CloseReason.INTERNAL)
        except ProviderError as refusal:  # there may be a connection that nobody holds
            raise ProviderError(message, reason=Reason.PROTOCOL, not_done=False) from refusal
        raise ProviderError(message, reason=Reason.PROTOCOL)

    def _abandon_restart(self) -> None:
        for op_id, operation in self._operations.state.unknown.items():
            if operation.name is OperationName.RESTART:
                self._reconcile(op_id, Decision.ABANDONED)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
