"""Finds the agent that a command line names. Runs the application's own code by importing it."""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import agentfield_rt
from agentfield_rt import Agent
from agentfield_rt.cli.failures import Failure

DEFAULT_ATTRIBUTE = "app"
_RUNTIME = Path(agentfield_rt.__file__).parent


def load_agent(name: str) -> Agent:
    """The agent behind `module:attribute` or `path/file.py:attribute`; the attribute may be left out.

    Raises:
        Failure: there is no such module, file or attribute, it cannot be imported, or is no agent.
    """
    place, _, attribute = name.partition(":")
    attribute = attribute or DEFAULT_ATTRIBUTE
    module = import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    found = getattr(module, attribute, None)
    if isinstance(found, Agent):
        return found
    agents = [key for key, value in vars(module).items() if isinstance(value, Agent)]
    hint = f"; it has {', '.join(f'{place}:{key}' for key in agents)}" if agents else ""
    raise Failure(f"{place} has no Agent named '{attribute}'{hint}")


def import_file(path: Path) -> ModuleType:
    """The module in `path`, under a name that hides no other module.

    Raises:
        Failure: there is no such file, or it cannot be imported.
    """
    if not path.is_file():
        raise Failure(f"there is no file {path}")
    name = f"agentfield_app_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # as `python path` would
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _broken(str(path), error) from error
    return module


def _import_module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        if importlib.util.find_spec(name) is None:
            raise Failure(f"there is no module {name}; APP is module:app or file.py:app")
        return importlib.import_module(name)
    except Failure:
        raise
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> Failure:
    if isinstance(error, SyntaxError):  # which names its own place, and where it was raised says nothing
        return Failure(f"{name} cannot be imported: {type(error).__name__}: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    theirs = (each for each in reversed(frames) if _RUNTIME not in Path(each.filename).parents)
    frame = next(theirs, frames[-1])  # where the runtime refuses something, their line asked for it
    where = f"{frame.filename}, line {frame.lineno}"
    return Failure(f"{name} cannot be imported: {type(error).__name__}: {error} ({where})")
