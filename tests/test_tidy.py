"""How large things are and what they are called.

What was larger when a rule came is listed in `tidy_ratchet.json` with its size; it may shrink, and then its
entry shrinks with it, but not grow.
"""

import ast
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agentfield_rt", "journal/agentfield_journal", "adapters/agentfield_adapters")
EVERYTHING = (*PACKAGES, "tests", "benchmarks", "examples")
RATCHET: dict[str, dict[str, int]] = json.loads(Path(__file__).with_name("tidy_ratchet.json").read_text())
NAMES_FOR_NOTHING = {"utils", "util", "common", "helpers", "helper", "base", "types", "misc"}
FRAMEWORK = (".get(", ".post(", ".websocket(", ".command(", ".callback(")
"""Functions declared to a web framework or a command line take what a request or a shell gives."""

_Syntax = ast.FunctionDef | ast.AsyncFunctionDef


class Function(NamedTuple):
    """Its place and name, and how large it is."""

    name: str
    lines: int
    positional: int
    parameters: int
    is_declared_to_a_framework: bool


class Module(NamedTuple):
    """What is measured of a file, in one look at it."""

    path: str
    lines: int
    is_documented: bool
    waits: int
    functions: list[Function]


def modules(*folders: str) -> Iterator[Module]:
    return (_measured(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def _measured(path: Path) -> Module:
    text, name = path.read_text(), path.relative_to(ROOT).as_posix()
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    return Module(
        path=name,
        lines=len(text.splitlines()),
        is_documented=not text or ast.get_docstring(tree) is not None,
        waits=sum(map(_really_waits, nodes)),
        functions=[_function(name, node) for node in nodes if isinstance(node, _Syntax)],
    )


def _function(path: str, node: _Syntax) -> Function:
    named = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    positional = [name for name in named if name not in ("self", "cls")]
    declared = [ast.unparse(decorator) for decorator in node.decorator_list]
    return Function(
        name=f"{path}:{node.name}",
        lines=(node.end_lineno or 0) - node.lineno + 1,
        positional=len(positional),
        parameters=len(positional) + len(node.args.kwonlyargs),
        is_declared_to_a_framework=any(word in each for each in declared for word in FRAMEWORK),
    )


def _really_waits(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("time.sleep", "asyncio.sleep"):
        return False
    return not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)


def functions(*folders: str) -> Iterator[Function]:
    return (function for module in modules(*folders) for function in module.functions)


def module_lines() -> Iterator[tuple[str, int]]:
    return ((module.path, module.lines) for module in modules(*EVERYTHING))


def function_lines() -> Iterator[tuple[str, int]]:
    return ((function.name, function.lines) for function in functions(*EVERYTHING))


def parameters() -> Iterator[tuple[str, int]]:
    for function in functions(*PACKAGES):
        if not function.is_declared_to_a_framework:
            yield function.name, function.parameters


def positional_parameters() -> Iterator[tuple[str, int]]:
    """Of what others call; inside a module the order is in sight."""
    for function in functions(*PACKAGES):
        is_private = function.name.partition(":")[2].startswith("_")
        if not is_private and not function.is_declared_to_a_framework:
            yield function.name, function.positional


def sleeps_in_tests() -> Iterator[tuple[str, int]]:
    """Waits of a length that somebody guessed: an event can be awaited instead."""
    for module in modules("tests"):
        if module.path != "tests/virtual_time.py":
            yield module.path, module.waits


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
    assert [module.path for module in modules(*EVERYTHING) if not module.is_documented] == []


def test_no_folder_or_module_is_named_after_nothing() -> None:
    paths = (Path(module.path) for module in modules(*EVERYTHING))
    assert [path for path in paths if NAMES_FOR_NOTHING & {*path.parent.parts, path.stem}] == []


def test_a_test_s_name_is_a_sentence() -> None:
    """At least three words: `test_close` says nothing that its file does not."""
    names = [function.name for function in functions("tests") if ":test_" in function.name]
    assert [name for name in names if name.count("_", name.index(":")) < 3] == []
