"""Where connections meet the instrument: each gets its faults and its log, and may get others later."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from agentfield_adapters.local.faults.fault import Where
from agentfield_adapters.local.faults.line import Line
from agentfield_adapters.local.faults.plan import FaultPlan
from agentfield_adapters.local.faults.stream import StreamLine
from agentfield_adapters.local.instrument.log import ConnectionLog, Log, Unlogged
from agentfield_adapters.local.instrument.setups import Setup, Setups


class Desk:
    """Knows the open connections of a provider.

    Args:
        log: None keeps nothing.
    """

    def __init__(self, setups: Setups, log: Log | None) -> None:
        self._setups = setups
        self._log = log
        self._lines: dict[Line | StreamLine, Setup] = {}

    @contextmanager
    def line(
        self, websocket: WebSocket, setup: Setup, where: Where, *, call_id: str | None = None
    ) -> Generator[Line]:
        """Be one websocket's line until the end of the block."""
        log = self._connection_log(where, setup, call_id)
        line = Line(websocket, setup.plan, where, log)
        with self._known(line, setup, log):
            yield line

    @contextmanager
    def stream(self, request: Request, setup: Setup, where: Where) -> Generator[StreamLine]:
        """Be one request's stream until the end of the block."""
        log = self._connection_log(where, setup)
        line = StreamLine(request, setup.plan, where, log)
        with self._known(line, setup, log):
            yield line

    def answered(self, where: Where, setup: Setup, answer: Response) -> Response:
        """Log the answer to a request, and return it."""
        if self._log is not None:
            self._log.request(where, setup=setup.name, status=answer.status_code)
        return answer

    def ask(self, line: Line, texts: Sequence[str]) -> None:
        """Give a line the faults that its client asks for, if it asks for any.

        Raises:
            Refusal: One of them is no fault.
        """
        if texts:
            line.rearm(self._setups.plan_of(texts))

    def rearm(self, plan: FaultPlan) -> None:
        """Give the open connections that run with the default setup its new faults."""
        for line, setup in self._lines.items():
            if setup is self._setups.default:
                line.rearm(plan)

    def _connection_log(self, where: Where, setup: Setup, call_id: str | None = None) -> ConnectionLog:
        if self._log is None:
            return Unlogged()
        return self._log.connection(where, setup=setup.name, call_id=call_id)

    @contextmanager
    def _known(self, line: Line | StreamLine, setup: Setup, log: ConnectionLog) -> Generator[None]:
        self._lines[line] = setup
        try:
            yield
        finally:
            del self._lines[line]
            log.ended()
