"""What the plane says to a client that does not speak the protocol, or not this agent's part of it."""

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from agentfield_rt import Agent
from agentfield_rt.agent.registration import registration_of
from tests.plane.serving import Served


def dialled(server: Served, *, origin: str | None = None) -> ClientConnection:
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/nodes/raw/channel"
    return connect(url, origin=None if origin is None else Origin(origin))


def hello(node_id: str = "raw", **more: Any) -> str:
    registration = registration_of(Agent(node_id), instance_id="inst_1")
    message = {"type": "hello", "registration": registration, "instance_id": "inst_1", **more}
    return json.dumps({"message": message})


def message_of(frame: str | bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(frame)["message"]
    return message


def test_a_client_in_any_language_is_welcomed_and_given_work(server: Served) -> None:
    app = Agent("raw")

    @app.reasoner
    async def shout(text: str) -> str:
        raise AssertionError("somebody else runs it")

    registration = registration_of(app, instance_id="inst_1")
    with dialled(server) as socket:
        message = {"type": "hello", "registration": registration, "instance_id": "inst_1"}
        socket.send(json.dumps({"message": message}))
        welcome = message_of(socket.recv(5))
        assert (welcome["type"], welcome["resumed"], welcome["received"]) == ("welcome", False, 0)
        accepted = server.post("/api/v1/execute/async/raw.shout", {"input": {"text": "hey"}}).json()
        frame = json.loads(socket.recv(5))
        execute = frame["message"]
        assert (execute["type"], execute["arguments"]) == ("execute", {"text": "hey"})
        outcome = {
            "type": "outcome",
            "execution_id": execute["execution_id"],
            "status": "succeeded",
            "result": "HEY",
        }
        socket.send(json.dumps({"seq": 1, "ack": frame["seq"], "message": outcome}))
        while "message" not in (frame := json.loads(socket.recv(5))):
            pass
        assert frame["message"]["type"] == "outcome_recorded"
        assert server.finished(accepted["execution_id"])["result"] == "HEY"


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
