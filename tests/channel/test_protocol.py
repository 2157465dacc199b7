"""What the plane says to a client that does not speak the protocol, or not this agent's part of it."""

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from agentfield_rt import Agent
from agentfield_rt.agent.registration import registration_of
from agentfield_rt.channel.message import MESSAGE_BYTES_MAX
from tests.plane.serving import Served


def dialled(server: Served, node_id: str = "raw", *, origin: str | None = None) -> ClientConnection:
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/nodes/{node_id}/channel"
    return connect(url, origin=None if origin is None else Origin(origin))


def hello(node_id: str = "raw", **more: Any) -> str:
    app = Agent(node_id)

    @app.reasoner
    async def shout(text: str) -> str:
        raise AssertionError("somebody else runs it")

    registration = registration_of(app, instance_id="inst_1")
    message = {"type": "hello", "registration": registration, "instance_id": "inst_1", **more}
    return json.dumps({"message": message})


def message_of(frame: str | bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(frame)["message"]
    return message


def numbered(socket: ClientConnection, type_: str) -> dict[str, Any]:
    """The next frame with a message, which is to be of a type."""
    while "message" not in (frame := json.loads(socket.recv(5))):
        pass
    assert frame["message"]["type"] == type_
    found: dict[str, Any] = frame
    return found


def outcome(execution_id: str, result: str) -> dict[str, Any]:
    return {"type": "outcome", "execution_id": execution_id, "status": "succeeded", "result": result}


def test_a_client_in_any_language_is_welcomed_and_given_work(server: Served) -> None:
    with dialled(server) as socket:
        socket.send(hello())
        welcome = message_of(socket.recv(5))
        assert (welcome["type"], welcome["resumed"], welcome["received"]) == ("welcome", False, 0)
        accepted = server.post("/api/v1/execute/async/raw.shout", {"input": {"text": "hey"}}).json()
        frame = numbered(socket, "execute")
        execute = frame["message"]
        assert execute["arguments"] == {"text": "hey"}
        said = outcome(execute["execution_id"], "HEY")
        socket.send(json.dumps({"seq": 1, "ack": frame["seq"], "message": said}))
        numbered(socket, "outcome_recorded")
        assert server.finished(accepted["execution_id"])["result"] == "HEY"


def test_an_agent_ends_no_execution_of_another_node(server: Served) -> None:
    with dialled(server) as mine, dialled(server, "other") as others:
        for socket, node_id in ((mine, "raw"), (others, "other")):
            socket.send(hello(node_id))
            assert message_of(socket.recv(5))["type"] == "welcome"
        accepted = server.post("/api/v1/execute/async/raw.shout", {"input": {"text": "hey"}}).json()
        execution_id = accepted["execution_id"]
        numbered(mine, "execute")
        others.send(json.dumps({"seq": 1, "message": outcome(execution_id, "forged")}))
        numbered(others, "outcome_recorded")
        mine.send(json.dumps({"seq": 1, "message": outcome(execution_id, "HEY")}))
        numbered(mine, "outcome_recorded")
        assert server.finished(execution_id)["result"] == "HEY"


def test_a_frame_that_is_too_large_ends_the_wire(server: Served) -> None:
    with dialled(server) as socket:
        socket.send(hello())
        socket.recv(5)
        with pytest.raises(ConnectionClosed) as closed:
            socket.send(json.dumps({"seq": 1, "message": outcome("exec_1", "x" * MESSAGE_BYTES_MAX)}))
            while True:
                socket.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (hello(version=2), "speaks version 1 of the channel, not 2"),
        (hello("other"), "the registration is not that of node 'raw'"),
        ('{"message": {"type": "leaving"}}', "the first message is hello"),
        (
            json.dumps({"message": {"type": "hello", "registration": {"id": "raw"}, "instance_id": "i"}}),
            "base_url",
        ),
    ],
    ids=["another version", "another node", "no hello", "no registration"],
)
def test_who_cannot_be_let_in_is_told_why(server: Served, first: str, says: str) -> None:
    with dialled(server) as socket:
        socket.send(first)
        refused = message_of(socket.recv(5))
        assert refused["type"] == "refused"
        assert says in refused["error"]
        with pytest.raises(ConnectionClosed):
            socket.recv(5)


@pytest.mark.parametrize(
    "then",
    [
        "",
        "{",
        '{"seq": 2, "message": {"type": "leaving"}}',
        '{"ack": 99}',
        '{"seq": 1, "message": {"type": "SECRET"}}',
    ],
    ids=["nothing", "no JSON", "a gap", "received what was never sent", "no message of ours"],
)
def test_what_is_no_protocol_ends_the_wire_and_nothing_else(server: Served, then: str) -> None:
    with dialled(server) as socket:
        socket.send(hello())
        welcome = message_of(socket.recv(5))
        socket.send(then)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(5)
        assert "SECRET" not in str(closed.value)
    with dialled(server) as socket:
        socket.send(hello(channel_id=welcome["channel_id"]))
        assert message_of(socket.recv(5))["resumed"] is True


def test_a_page_of_another_origin_is_no_agent(server: Served) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        dialled(server, origin="https://evil.example.com")
