"""How large things are and what they are called.

What was larger when a rule came is listed in `tidy_ratchet.json` with its size; it may shrink, and then its
entry shrinks with it, but not grow.
"""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agentfield_rt", "journal/agentfield_journal", "adapters/agentfield_adapters")
EVERYTHING = (*PACKAGES, "tests", "benchmarks", "examples")
RATCHET: dict[str, dict[str, int]] = json.loads(Path(__file__).with_name("tidy_ratchet.json").read_text())
NAMES_FOR_NOTHING = {"utils", "util", "common", "helpers", "helper", "base", "types", "misc"}
FRAMEWORK = (".get(", ".post(", ".websocket(", ".command(", ".callback(")
"""Functions declared to a web framework or a command line take what a request or a shell gives."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*folders: str) -> Iterator[tuple[str, ast.Module, int]]:
    """(path, syntax, lines) of every module."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            yield path.relative_to(ROOT).as_posix(), ast.parse(text), len(text.splitlines())


def functions(*folders: str) -> Iterator[tuple[str, Function]]:
    """(path:name, syntax) of every function."""
    for path, tree, _ in modules(*folders):
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{path}:{node.name}", node


def module_lines() -> Iterator[tuple[str, int]]:
    return ((path, lines) for path, _, lines in modules(*EVERYTHING))


def function_lines() -> Iterator[tuple[str, int]]:
    return ((name, (node.end_lineno or 0) - node.lineno + 1) for name, node in functions(*EVERYTHING))


def parameters() -> Iterator[tuple[str, int]]:
    for name, node in functions(*PACKAGES):
        if not _is_declared_to_a_framework(node):
            yield name, len(_positional(node)) + len(node.args.kwonlyargs)


def positional_parameters() -> Iterator[tuple[str, int]]:
    """Of what others call; inside a module the order is in sight."""
    for name, node in functions(*PACKAGES):
        if not node.name.startswith("_") and not _is_declared_to_a_framework(node):
            yield name, len(_positional(node))


def sleeps_in_tests() -> Iterator[tuple[str, int]]:
    """Waits of a length that somebody guessed: an event can be awaited instead."""
    for path, tree, _ in modules("tests"):
        if path != "tests/virtual_time.py":
            yield path, sum(_really_waits(node) for node in ast.walk(tree))


def _positional(node: Function) -> list[str]:
    named = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return [name for name in named if name not in ("self", "cls")]


def _is_declared_to_a_framework(node: Function) -> bool:
    declared = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(word in decorator for decorator in declared for word in FRAMEWORK)


def _really_waits(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("time.sleep", "asyncio.sleep"):
        return False
    return not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)


@pytest.mark.parametrize(
    ("measure", "limit"),
    [
        (module_lines, 400),
        (function_lines, 70),
        (parameters, 5),
        (positional_parameters, 3),
        (sleeps_in_tests, 0),
    ],
    ids=lambda value: getattr(value, "__name__", "") or str(value),
)
def test_nothing_is_larger_than_agreed(measure: Callable[[], Iterator[tuple[str, int]]], limit: int) -> None:
    listed = RATCHET.get(measure.__name__, {})
    too_large = {name: size for name, size in measure() if size > limit}
    grown = {name: size for name, size in too_large.items() if size > listed.get(name, limit)}
    assert not grown, f"larger than {limit}, or larger than listed: {grown}"
    shrunk = {name: too_large.get(name, 0) for name, size in listed.items() if too_large.get(name, 0) < size}
    assert not shrunk, f"smaller than listed, well done; tidy_ratchet.json may follow: {shrunk}"


def test_every_module_says_what_it_is() -> None:
    silent = [path for path, tree, lines in modules(*EVERYTHING) if lines and ast.get_docstring(tree) is None]
    assert silent == []


def test_no_folder_or_module_is_named_after_nothing() -> None:
    paths = (Path(path) for path, _, _ in modules(*EVERYTHING))
    assert [path for path in paths if NAMES_FOR_NOTHING & {*path.parent.parts, path.stem}] == []


def test_a_test_s_name_is_a_sentence() -> None:
    """At least three words: `test_close` says nothing that its file does not."""
    names = [name for name, node in functions("tests") if node.name.startswith("test_")]
    assert [name for name in names if name.count("_", name.index(":")) < 3] == []
