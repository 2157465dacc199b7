"""pytest fixtures for testing with agentfield-rt, found by pytest itself. Imports nothing before one is used.

Options: `--af-seed` repeats a run, `--af-hours` bounds it. A failed test that used a seed prints both.
"""

import inspect
import secrets
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from agentfield_rt.controller import RealtimeSessionController
    from agentfield_rt.ports import ProviderAdapter
    from agentfield_rt.run import Run
    from agentfield_rt.testing.fault_journal import FaultJournal
    from agentfield_rt.testing.held_adapter import HeldAdapter
    from agentfield_rt.testing.virtual_time import VirtualTimeLoop

_MARK = "virtual_time"
_SEEDS = 2**32
_used_seed = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("agentfield-rt")
    group.addoption(
        "--af-seed",
        type=int,
        default=None,
        metavar="SEED",
        help="Order of ready tasks, and all other chance in tests that use af_seed; without it, a new one.",
    )
    group.addoption(
        "--af-hours",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="How long a test may go on in virtual time, and how long a simulation does (default: 24).",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{_MARK}: run this async test on af_loop: hours pass in milliseconds, in an order by seed"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.get_closest_marker(_MARK) is not None and isinstance(item, pytest.Function):
        item.fixturenames.insert(0, "af_loop")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test marked `virtual_time`."""
    marked = pyfuncitem.get_closest_marker(_MARK) is not None
    if not marked or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
    loop: VirtualTimeLoop = cast(Any, pyfuncitem.funcargs["af_loop"])
    loop.run_until_complete(pyfuncitem.obj(**arguments))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    seed = item.stash.get(_used_seed, None)
    if report.failed and seed is not None:
        hours = cast(float, item.config.getoption("--af-hours"))
        command = f"pytest '{item.nodeid}' --af-seed={seed} --af-hours={hours:g}"
        report.sections += [("agentfield-rt", f"seed {seed}; to repeat it:\n  {command}")]
    return report


@pytest.fixture
def af_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test: `--af-seed`, or a new one. Printed when the test fails."""
    given: int | None = request.config.getoption("--af-seed")
    seed = secrets.randbelow(_SEEDS) if given is None else given
    request.node.stash[_used_seed] = seed
    return seed


@pytest.fixture
def af_hours(request: pytest.FixtureRequest) -> float:
    """`--af-hours`: virtual hours."""
    hours = cast(float, request.config.getoption("--af-hours"))
    return hours


@pytest.fixture
def af_loop(af_seed: int, af_hours: float) -> "Iterator[VirtualTimeLoop]":
    """A loop in virtual time; the order of ready tasks comes from the seed. Tasks left over are cancelled."""
    import asyncio

    from agentfield_rt.testing.virtual_time import VirtualTimeLoop

    loop = VirtualTimeLoop(seed=af_seed, hours=af_hours)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop()
        yield loop


@pytest.fixture
def af_journal(af_loop: "VirtualTimeLoop") -> "Iterator[FaultJournal]":
    """A journal in memory that fails, hangs and crashes as its `faults` say."""
    from agentfield_rt.testing.fault_journal import FaultJournal

    journal = FaultJournal()
    yield journal
    af_loop.run_until_complete(journal.close())


@pytest.fixture
def af_run(af_loop: "VirtualTimeLoop", af_journal: "FaultJournal") -> "Run":
    """A run `run-1` of that journal, on the loop's clock."""
    from agentfield_rt.run import Run

    return af_loop.run_until_complete(Run.open(af_journal, "run-1", clock=af_loop.time_ns))


@pytest.fixture
def af_adapter() -> "HeldAdapter":
    """An adapter whose answers the test holds, before a provider in memory that echoes."""
    from agentfield_rt.testing.held_adapter import HeldAdapter

    return HeldAdapter()


@pytest.fixture
def af_controller(
    af_loop: "VirtualTimeLoop", af_run: "Run", af_adapter: "HeldAdapter"
) -> "Callable[..., RealtimeSessionController]":
    """Makes controllers on that run: `af_controller()`, or with an `adapter`, a `session_id`, a `config`."""
    from agentfield_rt.controller import RealtimeSessionController

    def make(
        adapter: "ProviderAdapter | None" = None, *, session_id: str = "session-1", **options: Any
    ) -> RealtimeSessionController:
        return RealtimeSessionController(adapter or af_adapter, af_run, session_id=session_id, **options)

    return make
