"""A reasoner or skill: a function with typed inputs that anybody in the workflow can call."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)

from agentfield_rt.errors import RealtimeError

_PREFIX = "parameter_"
"""Fields get names of our own: pydantic keeps some, like `json` and `copy`, for itself."""


class InvalidInput(RealtimeError):
    """The caller's fault: the arguments do not fit the parameters. Names them, not their values."""


class Reasoner:
    """One registered function and what its parameters look like from outside."""

    def __init__(
        self, function: Callable[..., Any], *, name: str, tags: tuple[str, ...], description: str
    ) -> None:
        self.name = name
        self.tags = tags
        self.description = description or inspect.getdoc(function) or ""
        self._function = function
        self._model = _input_model(function, name)

    def named(self, name: str, tags: tuple[str, ...]) -> "Reasoner":
        """The same function under another name."""
        return Reasoner(self._function, name=name, tags=tags, description=self.description)

    @property
    def returns(self) -> str:
        """What the function says that it returns, as it is written; empty where it does not say."""
        returned = inspect.signature(self._function).return_annotation
        return "" if returned is inspect.Signature.empty else inspect.formatannotation(returned)

    @property
    def input_schema(self) -> dict[str, Any]:
        """The parameters as a JSON schema."""
        return self._model.model_json_schema()

    @property
    def output_schema(self) -> dict[str, Any]:
        """What the function says that it returns, as a JSON schema; empty where it does not say."""
        returned = inspect.signature(self._function, eval_str=True).return_annotation
        if returned in (inspect.Signature.empty, Any, None):
            return {}
        try:
            return TypeAdapter[Any](returned).json_schema(mode="serialization")
        except PydanticUserError:  # it has no schema, and arrives as it is written to JSON all the same
            return {}

    async def invoke(self, arguments: Mapping[str, Any]) -> Any:
        """Check `arguments` and run the function; one that is not async runs in a thread.

        Raises:
            InvalidInput: an argument is missing, unknown or of the wrong type.
        """
        try:
            checked = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in problem['loc']) or 'input'}: {problem['type']}"
                for problem in error.errors(include_input=False, include_url=False)
            )
            raise InvalidInput(f"{self.name} does not take these arguments: {problems}") from None
        values: dict[str, Any] = {
            name.removeprefix(_PREFIX): getattr(checked, name) for name in type(checked).model_fields
        }
        if inspect.iscoroutinefunction(self._function):
            return await self._function(**values)
        return await asyncio.to_thread(self._function, **values)


def _input_model(function: Callable[..., Any], name: str) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"reasoner {name} must name its parameters: no *args, no **kwargs, no '/'")
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[_PREFIX + parameter.name] = (annotation, Field(default, alias=parameter.name))
    return create_model(f"{name}_input", __config__=ConfigDict(extra="forbid"), **fields)
