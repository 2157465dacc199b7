"""`app.call` from another process (`Executor`)."""

from typing import Any

from agentfield_rt.agent.remote.requests import Requests, new_request_id
from agentfield_rt.channel.delivery import ChannelFull
from agentfield_rt.channel.frame import MessageTooLarge
from agentfield_rt.channel.shapes import Place
from agentfield_rt.channel.to_plane import Call
from agentfield_rt.errors import ExecutionFailed, Reason
from agentfield_rt.voice.link import ExecutionRequest


class RemoteExecutor:
    """Has the plane run what is called. A call outlives the wire, and the plane as well."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def execute(self, request: ExecutionRequest) -> Any:
        """See `Executor.execute`."""
        asked = Call(
            request_id=new_request_id(),
            target=request.target,
            arguments=dict(request.arguments),
            place=Place(
                run_id=request.run_id,
                session_id=request.session_id,
                turn_id=request.turn_id,
                parent_execution_id=request.parent_execution_id,
            ),
        )
        try:
            return await self._requests.ask(asked)
        except (ChannelFull, MessageTooLarge) as error:
            raise ExecutionFailed(str(error), execution_id=None, reason=Reason.OVERFLOW) from error
