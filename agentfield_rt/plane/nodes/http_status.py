"""Asks agents over HTTP whether they are there."""

import logging

import msgspec

from agentfield_rt.plane.egress import Bounds, EgressRefused, HttpClient, NoAnswer, Unreachable
from agentfield_rt.plane.nodes.node import Node

log = logging.getLogger(__name__)

ANSWER_MAX_S = 3.0
ANSWER_BYTES_MAX = 64 * 1024
_BOUNDS = Bounds(ANSWER_MAX_S, ANSWER_BYTES_MAX)


class _Status(msgspec.Struct):
    """What `GET /status` of an agent answers, as far as it counts here."""

    status: str = ""
    node_id: str | None = None


async def is_running(client: HttpClient, node: Node) -> bool:
    """Whether it answers, and as itself: another process may have its port by now."""
    if node.base_url is None:
        return False
    try:
        answer = await client.request("GET", f"{node.base_url}/status", bounds=_BOUNDS)
        said = msgspec.json.decode(answer.body, type=_Status)
    except (EgressRefused, Unreachable, NoAnswer, msgspec.DecodeError) as error:
        log.debug("%s does not answer: %s", node.node_id, type(error).__name__)
        return False
    return answer.status == 200 and said.status == "running" and said.node_id in (None, node.node_id)
