"""The control plane that a command asks: the options that say where it is, and one request to it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import quote

import typer

from agentfield_rt.cli.failures import Failure
from agentfield_rt.cli.printing import Form

if TYPE_CHECKING:
    from agentfield_rt.cli.http import PlaneClient

SERVER_DEFAULT = "http://localhost:8080"
TIMEOUT_S = 30.0
"""AgentField's."""

SERVER_VARIABLE = "AGENTFIELD_SERVER"
API_KEY_VARIABLE = "AGENTFIELD_API_KEY"

Server = Annotated[
    str, typer.Option(envvar=SERVER_VARIABLE, help="Address of the control plane", show_envvar=True)
]
ApiKey = Annotated[str, typer.Option(envvar=API_KEY_VARIABLE, help="Sent as X-API-Key", show_default=False)]
Output = Annotated[Form, typer.Option("--output", "-o", help="How to write the answer")]
Json = Annotated[bool, typer.Option("--json", help="The same as -o json")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for a script.")]
Limit = Annotated[int, typer.Option(min=1, max=100, help="At most so many.")]

INPUT_HELP = "Input: JSON, @FILE (.yaml too); - or nothing for stdin"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the control plane is and how to be let in."""

    server: str
    api_key: str = field(default="", repr=False)
    timeout_s: float = TIMEOUT_S

    def ask(self, request: "Callable[[PlaneClient], Awaitable[Answer]]") -> Answer:
        """Make one request, or as many as `request` makes on one client.

        Raises:
            Failure: as `request` does, or the server's address is none.
        """
        from agentfield_rt.cli.http import PlaneClient

        async def go() -> Answer:
            async with PlaneClient(self.server, api_key=self.api_key, timeout_s=self.timeout_s) as plane:
                return await request(plane)

        return asyncio.run(go())


def segment(text: str) -> str:
    """`text` as one segment of a path.

    Raises:
        Failure: it is empty.
    """
    if not text:
        raise Failure("an id or a target is missing: it is empty")
    return quote(text, safe="")
