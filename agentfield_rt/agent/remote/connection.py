"""Keeps an agent connected to its plane: one channel over one wire after another, until it leaves."""

import asyncio
import contextlib
import logging
import random
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from agentfield_rt.agent.context import ExecutionContext
from agentfield_rt.agent.registration import registration_of
from agentfield_rt.agent.remote.executing import Executing
from agentfield_rt.agent.remote.executor import RemoteExecutor
from agentfield_rt.agent.remote.handling import Handling
from agentfield_rt.agent.remote.requests import Requests
from agentfield_rt.channel.delivery import ChannelFull, ProtocolBroken
from agentfield_rt.channel.end import ChannelEnd
from agentfield_rt.channel.failures import error_of
from agentfield_rt.channel.frame import MessageTooLarge, encode_frame, encode_message, frames_to_agent
from agentfield_rt.channel.message import MESSAGE_BYTES_MAX, VERSION, Message
from agentfield_rt.channel.shapes import Place
from agentfield_rt.channel.to_agent import (
    BeginHandler,
    CallAccepted,
    CancelExecution,
    CancelHandler,
    Execute,
    OutcomeRecorded,
    Refused,
    Reply,
    ToAgent,
    TurnGiven,
    Welcome,
)
from agentfield_rt.channel.to_plane import Hello, Leaving, Note
from agentfield_rt.channel.wire import Dialer, ServerRefused, Wire, WireLost
from agentfield_rt.errors import RealtimeError

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent

log = logging.getLogger(__name__)

WELCOME_MAX_S = 10.0
LAST_WORDS_MAX_S = 1.0
"""How long an agent that leaves waits until the plane has received what it said."""

EXECUTIONS_MAX = 100
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 5.0
"""Between two tries to connect; half of it is chance, so that agents do not come back all at once."""


class Connection:
    """One agent process and its plane.

    Args:
        server: The plane's address, http or https.
        dialer: Makes the wires.

    Attributes:
        instance_id: This process, for the plane.
        executor: Runs what the agent calls.
    """

    def __init__(self, agent: "Agent", server: str, *, api_key: str | None, dialer: Dialer) -> None:
        self.instance_id = f"inst_{secrets.token_hex(8)}"
        self.welcomed = asyncio.Event()
        self._agent = agent
        self._url = channel_url(server, agent.node_id)
        self._headers = {"X-API-Key": api_key} if api_key else {}
        self._dialer = dialer
        self._requests = Requests(self.post, self.insist)
        self.executor = RemoteExecutor(self._requests)
        self._executing = Executing(agent, self.insist)
        self._handling = Handling(agent, self._requests, self.post, self.insist)
        self._end = ChannelEnd[ToAgent](frames_to_agent, self._take)
        self._channel_id: str | None = None

    def post(self, message: Message) -> None:
        """Send a message to the plane, now or when there is a wire again; see `ChannelEnd.post`."""
        self._end.post(message)

    def insist(self, message: Message) -> None:
        """As `post`, for what the plane relies on: where it receives so little that this does not fit, this
        process comes to it as to another plane, which is told of all that it has to know.

        Raises:
            MessageTooLarge, TypeError, ValueError: see `ChannelEnd.post`.
        """
        try:
            self._end.post(message)
        except ChannelFull as full:
            log.warning("agent %s begins anew with its plane: %s", self._agent.node_id, full)
            self._channel_id = None
            self._end.break_off()

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises:
            ServerRefused: the plane does not let this agent in.
        """
        pause_s = PAUSE_MIN_S
        is_news = True
        while True:
            try:
                wire = await self._dialer(self._url, headers=self._headers, frame_bytes_max=MESSAGE_BYTES_MAX)
                try:
                    await self._talk(wire)
                finally:
                    await wire.close("the agent goes")
            except (WireLost, ProtocolBroken) as error:
                if self._end.is_stuck:
                    self._channel_id = None
                is_news |= self.welcomed.is_set()
                level = logging.WARNING if is_news else logging.INFO  # once: it may be away for long
                log.log(level, "agent %s is not connected, and tries on: %s", self._agent.node_id, error)
                is_news = False
            pause_s = PAUSE_MIN_S if self.welcomed.is_set() else min(PAUSE_MAX_S, 2 * pause_s)
            self.welcomed.clear()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))

    async def _talk(self, wire: Wire) -> None:
        hello = Hello(
            registration=registration_of(self._agent, instance_id=self.instance_id),
            instance_id=self.instance_id,
            channel_id=self._channel_id,
            received=self._end.received,
            executions_max=EXECUTIONS_MAX,
            running=self._executing.ids,
        )
        await wire.send(encode_frame(encode_message(hello)))
        welcome = await self._welcome(wire)
        if welcome.resumed and self._channel_id is None:
            raise WireLost("what the plane has to know did not fit meanwhile")
        self._channel_id = welcome.channel_id
        if not welcome.resumed:
            self._begin_anew()
        self.welcomed.set()
        log.info("agent %s is connected to %s", self._agent.node_id, self._url)
        await self._end.run(
            wire,
            received=welcome.received if welcome.resumed else 0,
            keep_alive_s=welcome.keep_alive_s,
            lease_s=welcome.lease_s,
        )

    async def _welcome(self, wire: Wire) -> Welcome:
        try:
            async with asyncio.timeout(WELCOME_MAX_S):
                first = frames_to_agent(await wire.receive()).message
        except TimeoutError:
            raise WireLost(f"no welcome came within {WELCOME_MAX_S:.0f} s") from None
        match first:
            case Welcome(version=version) if version == VERSION:
                return first
            case Refused(error=error, retryable=True):
                raise WireLost(error)
            case Refused(error=error):
                raise ServerRefused(f"{self._url} refuses agent {self._agent.node_id}: {error}")
            case _:
                raise ServerRefused(f"{self._url} speaks another version of the channel's protocol")

    def _begin_anew(self) -> None:
        """The plane knows nothing of before: it is another one, or gave us up."""
        self._end = ChannelEnd[ToAgent](frames_to_agent, self._take)
        self._handling.cancel_all()
        self._executing.tell_again()
        self._requests.ask_again()

    def _take(self, message: ToAgent) -> None:
        match message:
            case Execute():
                self._executing.take(message)
            case CancelExecution():
                self._executing.cancel(message.execution_id)
            case OutcomeRecorded():
                self._executing.recorded(message.execution_id)
            case Reply(failure=None):
                self._requests.answer(message.request_id, message.result)
            case Reply(failure=failure):
                assert failure is not None
                self._requests.refuse(message.request_id, error_of(failure))
            case CallAccepted():
                self._requests.accepted(message.request_id, message.execution_id)
            case TurnGiven():
                self._requests.answer(message.request_id, message.turn)
            case BeginHandler():
                self._handling.begin(message)
            case CancelHandler():
                self._handling.cancel(message.handler_id)
            case Welcome() | Refused():
                raise ProtocolBroken(f"a {type(message).__name__} comes first, and once")
            case _:
                self._handling.tell(message)

    def note(self, message: str, tags: tuple[str, ...], context: ExecutionContext) -> None:
        """Send a remark; one that cannot be sent is lost."""
        place = Place(
            run_id=context.run_id,
            session_id=context.session_id,
            turn_id=context.turn_id,
            actor_id=context.actor_id,
        )
        try:
            self.post(Note(message=message, tags=tags, place=place, execution_id=context.execution_id))
        except (ChannelFull, MessageTooLarge) as error:
            log.warning("a note is lost: %s", error)

    async def stop(self) -> None:
        """Stop what is under way, without a word to the plane that is not theirs."""
        await self._handling.close()
        await self._executing.close()

    async def leave(self, *, within_s: float) -> None:
        """Take nothing new, and end what is under way, or stop it when the time is over."""
        try:
            self.post(Leaving())
            async with asyncio.timeout(within_s):
                await self._executing.finish()
                await self._handling.finish()
        except (TimeoutError, ChannelFull):
            log.warning("agent %s leaves with work under way", self._agent.node_id)
        await self.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_MAX_S):
                await self._end.flushed()


def channel_url(server: str, node_id: str) -> str:
    """Where a plane's channel is.

    Raises:
        RealtimeError: this is no server's address.
    """
    parts = urlsplit(server if "://" in server else f"http://{server}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise RealtimeError(f"{server!r} is no address of a server, such as https://plane.example.com")
    path = f"{parts.path.rstrip('/')}/api/v1/nodes/{node_id}/channel"
    return urlunsplit((scheme, parts.netloc, path, "", ""))
