"""The pytest plugin: fixtures in virtual time, a seed that is printed and repeats the run, a light start."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]
PLUGIN = "agentfield_rt.pytest_plugin"


def run_tests(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess("-p", PLUGIN, "-p", "no:asyncio", "-p", "no:cacheprovider", *options)


def test_a_session_is_driven_with_fixtures_alone(pytester: pytest.Pytester) -> None:
    result = run_tests(
        pytester,
        """
        import asyncio
        import pytest
        from agentfield_rt.frames import TextFrame

        @pytest.mark.virtual_time
        async def test_an_answer_after_an_hour(af_controller, af_adapter, af_journal):
            async with af_controller() as session:
                await session.connect()
                await session.send(TextFrame("frame-1", "hello"))
                await asyncio.sleep(3600)
                assert len(await session.receive(demand=8)) == 3
            assert af_adapter.effects.of("frame-1") == 1
            assert [r.kind for r in await af_journal.read("run-1")][-1] == "realtime_closed"
            assert asyncio.get_running_loop().time() == 3600.0

        @pytest.mark.virtual_time
        def test_no_coroutine(af_loop):
            assert af_loop.time() == 0.0
        """,
    )
    result.assert_outcomes(passed=2)


FLAKY = """
    import asyncio
    import pytest

    @pytest.mark.virtual_time
    async def test_order(af_seed):
        order = []
        async def go(n):
            await asyncio.sleep(0)
            order.append(n)
        await asyncio.gather(*map(go, range(8)))
        assert False, order
"""


def test_a_failed_test_prints_its_seed_and_the_command_that_repeats_it(pytester: pytest.Pytester) -> None:
    first = run_tests(pytester, FLAKY)
    first.assert_outcomes(failed=1)
    command = next(line for line in first.outlines if "--af-seed=" in line).strip()
    assert command.startswith("pytest 'test_a_failed_test_prints")
    assert command.endswith("--af-hours=24")
    again = run_tests(pytester, FLAKY, *command.split()[2:])

    def order(result: pytest.RunResult) -> list[str]:
        return [line for line in result.outlines if line.startswith("E ") and "Assertion" in line]

    assert order(first) == order(again) != []


def test_a_test_that_used_no_seed_prints_none(pytester: pytest.Pytester) -> None:
    result = run_tests(pytester, "def test_it(): assert False")
    assert "--af-seed" not in result.stdout.str()


def test_what_hangs_in_virtual_time_fails_after_its_hours(pytester: pytest.Pytester) -> None:
    source = """
        import asyncio, pytest

        @pytest.mark.virtual_time
        async def test_it():
            while True:
                await asyncio.sleep(60)
    """
    result = run_tests(pytester, source, "--af-hours=2")
    result.stdout.fnmatch_lines(["*TimeIsUp: still at work after 2 virtual hours*"])


def test_starting_pytest_loads_neither_hypothesis_nor_the_testing_tools() -> None:
    code = (
        f"import {PLUGIN}, sys; print([m for m in sys.modules"
        " if m.startswith(('hypothesis', 'agentfield_rt.testing', 'fastapi', 'numpy'))])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


def test_pytest_finds_it_by_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"][PLUGIN] == PLUGIN
