"""Settings of a plane as a command line has them: the environment's, with what was typed on top."""

from pathlib import Path
from typing import Any

import pydantic

from agentfield_rt.cli.failures import Failure
from agentfield_rt.config import Settings


def read_settings(*, host: str | None, port: int | None, data: Path | None) -> Settings:
    """Settings from the environment, and what the command line says instead.

    Raises:
        Failure: a variable of the environment has no usable value.
    """
    given: dict[str, Any] = {"host": host, "port": port, "data": data}
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except pydantic.ValidationError as error:
        names = ", ".join(f"AGENTFIELD_RT_{str(problem['loc'][0]).upper()}" for problem in error.errors())
        raise Failure(f"the environment has no usable value for {names}") from None
