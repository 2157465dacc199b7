"""Settings of a plane as a command line has them: the environment's, with what was typed on top."""

from pathlib import Path
from typing import Any

import pydantic
from pydantic_settings import SettingsError

from agentfield_rt.cli.failures import Failure
from agentfield_rt.config import Settings


def read_settings(*, host: str | None, port: int | None, data: Path | None) -> Settings:
    """Settings from the environment, and what the command line says instead.

    Raises:
        Failure: a variable of the environment has no usable value, or two do not go together; says which
            and why, and shows no value.
    """
    given: dict[str, Any] = {"host": host, "port": port, "data": data}
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except pydantic.ValidationError as error:
        reasons = dict.fromkeys(
            _reason(problem["loc"], problem["msg"]) for problem in error.errors(include_input=False)
        )
        raise Failure(f"the environment has no usable value for {'; '.join(reasons)}") from None
    except SettingsError as error:
        raise Failure(f"the environment has a value that is not the JSON it should be: {error}") from None


def _reason(place: tuple[int | str, ...], message: str) -> str:
    """Why a setting is not usable; settings that do not go together have no place, and say which they are."""
    reason = message.removeprefix("Value error, ")
    return f"{_variable(str(place[0]))}: {reason}" if place else f"this server: {reason}"


def _variable(field: str) -> str:
    """The variable of a setting: errors name its field, or the variable where it has one of its own."""
    return f"AGENTFIELD_RT_{field.upper()}" if field in Settings.model_fields else field
