"""How the plane writes ids and times: AgentField's notation. Knows nothing of what they belong to."""

import re
import time
from datetime import UTC, datetime
from functools import lru_cache

from agentfield_journal.drawing import drawn_hex

_SESSION, _RUN, _EXECUTION, _NODE = "sess_", "run_", "exec_", "node_"
WEBHOOK = "webhook_"
"""What the run of a webhook is called, before its execution's id."""

_NODE_RUN = re.compile(_NODE + r"\d{8}_\d{6}_[0-9a-f]{16}")
_FURTHER = "~"
"""Stands in no id of a caller's: before it the workflow's, after it an execution's."""


def new_session_id() -> str:
    """128 random bits: whoever knows the id of a session may take part in it."""
    return f"{_SESSION}{_stamp()}_{drawn_hex(16)}"


def new_run_id() -> str:
    return _RUN + _drawn()


def new_execution_id() -> str:
    return _EXECUTION + _drawn()


def new_node_run_id() -> str:
    """Of the run that a node's registration is journaled in."""
    return _NODE + _drawn()


def is_node_run(run_id: str) -> bool:
    """Whether a run is a node's registration; it stands for longer than the process that writes it."""
    return _NODE_RUN.fullmatch(run_id) is not None


def webhook_run_id(execution_id: str) -> str:
    """Of the run in which telling of an execution's outcome is journaled."""
    return f"{WEBHOOK}{execution_id}"


def webhook_execution_id(run_id: str) -> str:
    """The inverse of `webhook_run_id`."""
    return run_id.removeprefix(WEBHOOK)


def is_webhook_run(run_id: str) -> bool:
    """Whether a run is a webhook's; it goes on in the next process."""
    return run_id.startswith(WEBHOOK + _EXECUTION)


def is_own_run(run_id: str) -> bool:
    """Whether a run is one of these: its name is nobody else's to use."""
    return is_node_run(run_id) or is_webhook_run(run_id)


def further_run_id(run_id: str, execution_id: str) -> str:
    """Of the run in which a workflow goes on with an execution, after the run it began in has ended."""
    return f"{workflow_id_of(run_id)}{_FURTHER}{execution_id}"


def workflow_id_of(run_id: str) -> str:
    """The workflow that a run belongs to: the id its callers know it by, mostly the run's own."""
    return run_id.partition(_FURTHER)[0]


def new_tool_call_id() -> str:
    """Of a call that a caller makes over HTTP; the model's calls have the provider's id."""
    return "tool_" + _drawn()


def run_id_of(session_id: str) -> str:
    """The run a session is journaled in; what is no session's id, a run's own id say, stays as it is."""
    return _RUN + session_id.removeprefix(_SESSION) if session_id.startswith(_SESSION) else session_id


def session_id_of(run_id: str) -> str:
    """The session that is journaled in a run; of a run that is no session's, a name for it all the same."""
    return _SESSION + run_id.removeprefix(_RUN) if run_id.startswith(_RUN) else run_id


def iso(at_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, with `Z`."""
    second, micros = divmod(round(at_s * 1e6), 1_000_000)
    return f"{_iso_at(second)}.{micros:06d}Z" if micros else f"{_iso_at(second)}Z"


@lru_cache(maxsize=4)
def _iso_at(second: int) -> str:
    """Most times that are written are of the second that is, or of the one before."""
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


def iso_ns(at_ns: int | None) -> str | None:
    """As `iso`, of a record's time; None stays None."""
    return None if at_ns is None else iso(at_ns / 1e9)


def _drawn() -> str:
    """What tells an id from others: date, time, a 4096th of the second, 52 random bits.

    In an index ids of the same moment lie together, so a group of them writes a page or two, not one each.
    """
    now_s = time.time()
    second = int(now_s)
    return f"{_stamp_at(second)}_{int((now_s - second) * 4096):03x}{drawn_hex(7)[1:]}"


def _stamp() -> str:
    """The date and time part of an id."""
    return _stamp_at(int(time.time()))


@lru_cache(maxsize=2)
def _stamp_at(at_s: int) -> str:
    return time.strftime("%Y%m%d_%H%M%S", time.gmtime(at_s))
