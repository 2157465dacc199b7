"""Where settings come from, in the order in which they win, and what is refused there."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsError,
    TomlConfigSettingsSource,
)

PREFIX = "AGENTFIELD_RT_"

_NO_SETTINGS = frozenset({"AGENTFIELD_RT_TRACEBACK"})
"""Variables that are read where they are needed: no server has to be there for them."""


class UnusableSource(SettingsError):
    """A place that settings come from cannot be used; the text says which and why, and shows no value."""


def variable_of(name: str, field: FieldInfo) -> str:
    """The environment's name for a setting."""
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{PREFIX}{name.upper()}"


class Environment(EnvSettingsSource):
    """The environment, in which a misspelt variable would otherwise be a setting that is not made."""

    def __call__(self) -> dict[str, Any]:
        """The values it has.

        Raises:
            UnusableSource: a variable has our prefix and is no setting.
        """
        known = {variable_of(name, field) for name, field in self.settings_cls.model_fields.items()}
        ours = (name.upper() for name in os.environ if name.upper().startswith(PREFIX))
        _refuse_unknown(ours, known | _NO_SETTINGS, "the environment has {}, which is no setting")
        return super().__call__()


class ConfigFile(TomlConfigSettingsSource):
    """A TOML file.

    Raises:
        UnusableSource: it cannot be read, is no TOML, or names what is no setting.
    """

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        try:
            super().__init__(settings_cls, path)
        except OSError as error:
            raise UnusableSource(f"{path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            where = error if isinstance(error, tomllib.TOMLDecodeError) else "it is no text"
            raise UnusableSource(f"{path} is no TOML: {where}") from None
        if not path.is_file():
            raise UnusableSource(f"{path} is no file")
        known = set(settings_cls.model_fields)
        given = set(self.toml_data) - {
            spelling
            for name, field in settings_cls.model_fields.items()
            for spelling in (variable_of(name, field), variable_of(name, field).lower())
        }
        _refuse_unknown(given, known, f"{path} has {{}}, which is no setting")


def configured_sources(
    settings_cls: type[BaseSettings], given: Mapping[str, Any]
) -> tuple[PydanticBaseSettingsSource, ...]:
    """The environment, and the files that it or `given` names (as `config` and `secrets`).

    Raises:
        UnusableSource: one of them cannot be used.
    """
    sources: list[PydanticBaseSettingsSource] = [Environment(settings_cls)]
    if (secrets := _path("secrets", given)) is not None:
        if not secrets.is_dir():
            raise UnusableSource(f"{secrets} is no directory of secrets")
        sources.append(SecretsSettingsSource(settings_cls, secrets))
    if (config := _path("config", given)) is not None:
        sources.append(ConfigFile(settings_cls, config))
    return tuple(sources)


def _path(name: str, given: Mapping[str, Any]) -> Path | None:
    path = given.get(name) or os.environ.get(f"{PREFIX}{name.upper()}")
    return Path(path) if path else None


def origins(settings_cls: type[BaseSettings], given: Mapping[str, Any]) -> dict[str, str]:
    """For every setting, in words, where its value is from."""
    found = dict.fromkeys(settings_cls.model_fields, "default")
    for source in reversed(configured_sources(settings_cls, given)):
        has = source()
        for name, field in settings_cls.model_fields.items():
            variable = variable_of(name, field)
            if name in has or variable in has:
                found[name] = _in_words(source, variable)
    return found | {name: "command line" for name in given if name in found}


def _in_words(source: PydanticBaseSettingsSource, variable: str) -> str:
    match source:
        case TomlConfigSettingsSource():
            return str(source.toml_file_path)
        case SecretsSettingsSource():
            return f"{source.secrets_dir}/{variable.lower()}"
        case _:
            return variable


def _refuse_unknown(given: Iterable[str], known: set[str] | frozenset[str], complaint: str) -> None:
    for name in sorted(set(given) - known):
        near = get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnusableSource(complaint.format(name) + hint)
