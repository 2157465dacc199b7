"""One run of a reasoner or skill, to an outcome: whatever it raises is its own failure, not the process's."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import BaseModel

from agentfield_rt.agent.context import ExecutionContext
from agentfield_rt.agent.reasoner import InvalidInput
from agentfield_rt.errors import ExecutionFailed, Reason

if TYPE_CHECKING:
    from agentfield_rt.agent.agent import Agent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """How it ended.

    Attributes:
        result: What it returned, as JSON has it, where it succeeded.
        error: What it said of its failure: content.
        reason: Why it failed; None: it succeeded.
    """

    result: Any = None
    error: str | None = None
    reason: Reason | None = None


async def invoke(
    agent: "Agent", name: str, arguments: dict[str, Any], *, context: ExecutionContext
) -> Invocation:
    """Run it to its end; only a cancellation is raised."""
    try:
        result = await agent.invoke(name, arguments, context)
        plain = msgspec.to_builtins(result, builtin_types=(), enc_hook=_as_json)
        msgspec.json.encode(plain)  # half a character has no JSON form either
    except InvalidInput as error:
        return _failed(Reason.INVALID_REQUEST, str(error))
    except KeyError as error:
        if agent.capability(name) is None:
            return _failed(Reason.NOT_FOUND, f"target '{name}' not found on agent '{agent.node_id}'")
        return _raised(agent, name, error)
    except (Exception, BaseExceptionGroup, SystemExit) as error:  # an exit in a library ends no server
        return _raised(agent, name, error)
    return Invocation(result=plain)


def _raised(agent: "Agent", name: str, error: BaseException) -> Invocation:
    log.warning("%s.%s raised %s", agent.node_id, name, type(error).__name__)
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, ExecutionFailed) and error.error is not None:  # whoever waits wants the first cause
        said = f"{said}: {error.error}"
    return _failed(Reason.HANDLER_ERROR, said)


def _failed(reason: Reason, error: str) -> Invocation:
    """What the reasoner said may hold half a character, which no JSON has."""
    return Invocation(reason=reason, error=error.encode(errors="replace").decode())


def _as_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")
