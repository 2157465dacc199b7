"""Reasoners: typed inputs, places in the workflow, and refusals that name no value."""

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from agentfield_rt import Agent, RealtimeError
from agentfield_rt.agent import ExecutionContext, InvalidInput
from agentfield_rt.voice.link import ExecutionRequest

PLACE = ExecutionContext("run_1", "exec_1", "sess_1", "turn_1")


class Order(BaseModel):
    number: int
    note: str = ""


class Recorder:
    """An executor that notes requests and runs them on the agent they are for."""

    def __init__(self, agent: Agent) -> None:
        self.requests: list[ExecutionRequest] = []
        self._agent = agent
        agent.bind(self)

    async def execute(self, request: ExecutionRequest) -> Any:
        self.requests.append(request)
        place = ExecutionContext(
            request.run_id or "run_new", f"exec_{len(self.requests)}", request.session_id, request.turn_id
        )
        return await self._agent.invoke(request.target.partition(".")[2], request.arguments, place)


@pytest.mark.asyncio
async def test_arguments_arrive_as_the_types_the_function_asks_for() -> None:
    app = Agent("desk")

    @app.reasoner()
    async def ship(order: Order, copies: int = 1) -> str:
        assert isinstance(order, Order)
        return f"{order.number} x {copies}"

    assert await app.invoke("ship", {"order": {"number": 7}, "copies": "2"}, PLACE) == "7 x 2"
    assert await app.invoke("ship", {"order": {"number": 7}}, PLACE) == "7 x 1"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "order: missing"),
        ({"order": {"number": "SECRET"}}, "order.number: int_parsing"),
        ({"order": {"number": 1}, "colour": "SECRET"}, "colour: extra_forbidden"),
        ({"order": "SECRET"}, "order: model_type"),
    ],
)
async def test_arguments_that_do_not_fit_are_named_but_not_shown(
    arguments: dict[str, Any], says: str
) -> None:
    app = Agent("desk")

    @app.reasoner()
    async def ship(order: Order) -> None: ...

    with pytest.raises(InvalidInput) as caught:
        await app.invoke("ship", arguments, PLACE)
    assert says in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.asyncio
async def test_a_function_that_is_not_async_runs_beside_the_loop_with_its_place_in_the_workflow() -> None:
    app = Agent("desk")
    recorder = Recorder(app)
    loop = asyncio.get_running_loop()

    @app.reasoner()
    def slow(number: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        nested = asyncio.run_coroutine_threadsafe(app.call("desk.double", number=number), loop)
        return int(nested.result(5))

    @app.reasoner()
    async def double(number: int) -> int:
        return number * 2

    assert await app.invoke("slow", {"number": 4}, PLACE) == 8
    assert [request.target for request in recorder.requests] == ["desk.double"]


@pytest.mark.asyncio
async def test_a_nested_call_hangs_below_the_call_that_makes_it() -> None:
    app = Agent("desk")
    recorder = Recorder(app)

    @app.reasoner()
    async def outer() -> str:
        both = await asyncio.gather(app.call("desk.inner", depth=1), app.call("desk.inner", depth=0))
        return " ".join(both)

    @app.reasoner()
    async def inner(depth: int) -> str:
        return "leaf" if depth == 0 else await app.call("desk.inner", depth=depth - 1)

    assert await app.invoke("outer", {}, PLACE) == "leaf leaf"
    parents = [request.parent_execution_id for request in recorder.requests]
    assert parents == ["exec_1", "exec_1", "exec_1"]
    places = {(request.run_id, request.session_id, request.turn_id) for request in recorder.requests}
    assert places == {("run_1", "sess_1", "turn_1")}


@pytest.mark.asyncio
async def test_a_call_outside_any_execution_starts_a_run_of_its_own() -> None:
    app = Agent("desk")
    recorder = Recorder(app)

    @app.reasoner()
    async def hello() -> str:
        return "hello"

    assert await app.call("desk.hello") == "hello"
    assert (recorder.requests[0].run_id, recorder.requests[0].parent_execution_id) == (None, None)


@pytest.mark.asyncio
async def test_calling_before_the_agent_runs_says_what_to_do() -> None:
    with pytest.raises(RealtimeError, match=r"agent desk is not running; app\.run\(\)"):
        await Agent("desk").call("desk.hello")


@pytest.mark.asyncio
async def test_models_and_dataclasses_among_the_arguments_become_plain_objects() -> None:
    @dataclass
    class Line:
        text: str

    app = Agent("desk")
    recorder = Recorder(app)

    @app.reasoner()
    async def take(order: dict[str, Any], line: dict[str, Any], n: int) -> int:
        return n

    await app.call("desk.take", order=Order(number=1), line=Line("x"), n=3)
    assert recorder.requests[0].arguments == {
        "order": {"number": 1, "note": ""},
        "line": {"text": "x"},
        "n": 3,
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["json", "copy", "schema", "model_name", "_hidden", "self_"])
async def test_a_parameter_may_have_any_name(name: str) -> None:
    app = Agent("desk")
    names: dict[str, Any] = {}
    exec(f"async def echo({name}: str) -> str:\n    return {name}", names)
    app.reasoner()(names["echo"])
    assert await app.invoke("echo", {name: "x"}, PLACE) == "x"
    assert list(app.reasoners["echo"].input_schema["properties"]) == [name]


def test_the_schema_shows_parameters_defaults_and_nothing_else() -> None:
    app = Agent("desk")

    @app.reasoner(description="Ships it.", tags=["desk"])
    async def ship(order: Order, copies: int = 1) -> None: ...

    schema = app.reasoners["ship"].input_schema
    assert list(schema["properties"]) == ["order", "copies"]
    assert schema["required"] == ["order"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["copies"]["default"] == 1
    assert (app.reasoners["ship"].description, app.reasoners["ship"].tags) == ("Ships it.", ("desk",))


def test_parameters_without_a_schema_are_refused_at_the_declaration() -> None:
    app = Agent("desk")
    with pytest.raises(TypeError, match="must name its parameters"):

        @app.reasoner()
        async def many(*numbers: int) -> None: ...

    with pytest.raises(TypeError, match="must name its parameters"):

        @app.reasoner()
        async def any_(**options: int) -> None: ...

    with pytest.raises(TypeError, match="must name its parameters"):

        @app.reasoner()
        async def unnamed(number: int, /) -> None: ...


def test_a_name_is_taken_once() -> None:
    app = Agent("desk")

    @app.reasoner("ship")
    async def one() -> None: ...

    with pytest.raises(ValueError, match="desk has a reasoner 'ship' already"):

        @app.reasoner("ship")
        async def two() -> None: ...


@pytest.mark.parametrize("node_id", ["", "a.b"])
def test_a_node_id_is_a_word_without_dots(node_id: str) -> None:
    with pytest.raises(ValueError, match=r"targets are node\.name"):
        Agent(node_id)
