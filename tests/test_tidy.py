"""Sizes and names of the source, held by a ratchet: what is long is listed with a reason and may not grow."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agentfield_rt", "journal/agentfield_journal", "adapters/agentfield_adapters")
MODULE_LINES_MAX = 250
FUNCTION_LINES_MAX = 50
NAMES_OF_NOTHING = {"utils", "util", "common", "helpers", "base", "types", "misc"}

# Lines that a longer module may have, and why it is one module all the same.
LONG_MODULES = {
    "agentfield_rt/controller.py": (
        375,
        "one object owns the provider boundary; its operations share one order",
    ),
    "agentfield_rt/core/decide.py": (280, "one decider for each command, side by side with the others"),
    "agentfield_rt/core/records/realtime.py": (290, "a vocabulary: one short struct after another"),
    "agentfield_rt/timeline/model.py": (275, "the picture's vocabulary and the one fold that fills it"),
    "agentfield_rt/timeline/svg.py": (280, "one picture, from its axis to its legend"),
    "agentfield_rt/voice/session.py": (
        400,
        "one object owns a call's tasks; what has a rule of its own is beside it",
    ),
    "journal/agentfield_journal/engine.py": (325, "readers and the one writer share what is durable"),
    "journal/agentfield_journal/stores/nats.py": (325, "one store: a stream, its bucket and its lease"),
    "journal/agentfield_journal/stores/sqlite_file.py": (300, "one file format, written and read"),
    "journal/agentfield_journal/testing/conformance.py": (
        350,
        "one check after another, each of a few lines",
    ),
    "adapters/agentfield_adapters/local/conversation/answer.py": (255, "an answer's ways to end must agree"),
    "adapters/agentfield_adapters/local/ears/listener.py": (255, "one stream of audio in one order"),
    "adapters/agentfield_adapters/local/protocol/server_events.py": (
        400,
        "a vocabulary, as the vendor has it",
    ),
    "adapters/agentfield_adapters/openai/server_events.py": (265, "a vocabulary, as the vendor has it"),
}
LONG_FUNCTIONS = {
    ("agentfield_rt/agent/agent.py", "session"): (75, "AgentField's signature, and what it means")
}


SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_is_short_says_what_it_is_and_has_a_telling_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines_max, _ = LONG_MODULES.get(name_of(path), (MODULE_LINES_MAX, ""))
    assert text.count("\n") <= lines_max, "split it where it has two subjects"
    assert not text or ast.get_docstring(ast.parse(text)), "say in one sentence what it is"
    assert not NAMES_OF_NOTHING.intersection((path.stem, *path.relative_to(ROOT).parts))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            lines_max, _ = LONG_FUNCTIONS.get((name_of(path), node.name), (FUNCTION_LINES_MAX, ""))
            assert lines <= lines_max, f"{node.name} has {lines} lines"


def test_nothing_is_listed_as_long_that_is_short_or_gone() -> None:
    present = {name_of(path): path.read_text(encoding="utf-8").count("\n") for path in SOURCES}
    stale = [name for name in LONG_MODULES if present.get(name, 0) <= MODULE_LINES_MAX]
    assert not stale, "take it off the list, so that it stays short"
