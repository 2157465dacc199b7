"""Settings of a plane as a command line has them: from the environment and a file, below what was typed."""

from typing import Any

import pydantic
from pydantic_settings import SettingsError

from agentfield_rt.cli.failures import Failure
from agentfield_rt.config import Settings, UnusableSource, origins, variable_of


def read_settings(**given: Any) -> Settings:
    """Settings from the environment and a file; an option that was typed, so is not None, wins.

    Raises:
        Failure: a setting has no usable value, or two do not go together; says which, where it is from and
            why, and shows no value.
    """
    typed = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**typed)
    except pydantic.ValidationError as error:
        places = origins(Settings, typed)
        reasons = dict.fromkeys(
            _reason(problem["loc"], problem["msg"], places) for problem in error.errors(include_input=False)
        )
        raise Failure("; ".join(reasons)) from None
    except UnusableSource as error:
        raise Failure(str(error)) from None
    except SettingsError as error:
        # Its text names the field only, and its cause holds the value.
        named = (
            variable_of(name, known)
            for name, known in Settings.model_fields.items()
            if f'"{name}"' in str(error)
        )
        variable = next(named, "a setting")
        raise Failure(
            f'no usable value for {variable}: it takes JSON, a list as ["one", "two"]'
            f' or an object as {{"name": "value"}}'
        ) from None


def _reason(place: tuple[int | str, ...], message: str, places: dict[str, str]) -> str:
    """Why a setting is not usable; settings that do not go together have no place, and say which they are."""
    reason = message.removeprefix("Value error, ")
    if not place:
        return f"these settings do not go together: {reason}"
    field = next(
        (
            name
            for name, known in Settings.model_fields.items()
            if place[0] in (name, variable_of(name, known))
        ),
        str(place[0]),
    )
    variable = variable_of(field, Settings.model_fields[field]) if field in Settings.model_fields else field
    origin = places.get(field, variable)
    where = "" if origin == variable else f" ({origin})"
    return f"no usable value for {variable}{where}: {reason}"
