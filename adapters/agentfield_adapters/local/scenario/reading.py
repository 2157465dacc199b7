"""Scenario files: YAML to a `Scenario`, or the line and the reason why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import msgspec
import yaml

from agentfield_adapters.local.faults.compact import fault_of
from agentfield_adapters.local.faults.fault import Fault, FaultRefused
from agentfield_adapters.local.scenario.scenario import Scenario

FILE_CHARACTERS_MAX = 1024 * 1024
_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]+)`")


class ScenarioRefused(Exception):
    """A scenario that cannot be used; the text begins with the file and the line."""


def read_scenario(path: Path) -> Scenario:
    """Return the scenario in a file.

    Raises:
        ScenarioRefused: It cannot be read, or is none.
    """
    try:
        return scenario_of(path.read_text(encoding="utf-8"), name=str(path))
    except OSError as error:
        raise ScenarioRefused(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ScenarioRefused(f"{path}: it is not UTF-8 text") from None


def scenario_of(text: str, *, name: str = "scenario") -> Scenario:
    """Return the scenario that a text describes; `name` stands before the line of an error.

    Raises:
        ScenarioRefused: It describes none.
    """
    if len(text) > FILE_CHARACTERS_MAX:
        raise ScenarioRefused(f"{name}: longer than {FILE_CHARACTERS_MAX} characters")
    try:
        root = cast(yaml.Node | None, yaml.compose(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]  # half-typed stubs
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ScenarioRefused(f"{name}:{mark.line + 1 if mark else 1}: {error.problem}") from None
    except yaml.YAMLError:
        raise ScenarioRefused(f"{name}:1: it is not YAML") from None
    try:
        scenario = msgspec.convert({} if value is None else value, Scenario)
    except msgspec.ValidationError as error:
        complaint = str(error)
        found = _PATH.search(complaint)
        line = _line(root, found["path"] if found else "", complaint)
        raise ScenarioRefused(f"{name}:{line}: {_PATH.sub('', complaint)}") from None
    return msgspec.structs.replace(scenario, faults=_faults(scenario, root, name))


def _faults(scenario: Scenario, root: yaml.Node | None, name: str) -> list[Fault | str]:
    faults: list[Fault | str] = []
    for index, fault in enumerate(scenario.faults):
        try:
            faults.append(fault_of(fault) if isinstance(fault, str) else fault)
        except FaultRefused as error:
            line = _line(root, f".faults[{index}]", "")
            raise ScenarioRefused(f"{name}:{line}: {error}") from None
    return faults


def _line(root: yaml.Node | None, path: str, complaint: str) -> int:
    """Return the line of what `path` leads to, as far as it leads; of an unknown field, the field's own."""
    node = root
    for step in _STEP.finditer(path):
        below = _below(node, step["key"], step["index"])
        if below is None:
            break
        node = below
    if node is None:
        return 1
    unknown = _UNKNOWN.search(complaint)
    if unknown is not None and isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if key.value == unknown["name"]:
                return int(key.start_mark.line) + 1
    return int(node.start_mark.line) + 1


def _below(node: yaml.Node | None, key: str | None, index: str | None) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode) and key is not None:
        return next((value for name, value in node.value if name.value == key), None)
    if isinstance(node, yaml.SequenceNode) and index is not None and int(index) < len(node.value):
        below: yaml.Node = node.value[int(index)]
        return below
    return None
