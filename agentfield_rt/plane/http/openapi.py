"""The routes that FastAPI does not see, in the document that it makes: schemas are read off their structs."""

import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

import msgspec
from fastapi import FastAPI

_PLACE = "#/components/schemas/{name}"
_ID = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,128}$"}
_ID_OR_NONE = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{0,128}$"}
_KEY = {"type": "string", "maxLength": 256}
_TARGET = {"type": "string", "pattern": r"^[^./]+\.[^/]+$", "examples": ["voice-support.resolve_turn"]}
"""What stands in an address as `{target}`, of whichever route."""


class ErrorBody(msgspec.Struct, kw_only=True):
    """What every refusal says."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One plain route as the document shows it.

    Attributes:
        path: With its prefix and parameters, `/api/v1/executions/{execution_id}`.
        body: What it takes; None: nothing.
        answers: By status; None: no body worth a schema.
        headers: What it reads besides, each with what it is for.
        required: Those of `headers` that it does not go without.
        query: What it reads of the address, each with what it is for.
        text: The media type of what it takes and gives, where that is text and no JSON.
    """

    method: str
    path: str
    tag: str
    summary: str
    body: Any = None
    answers: dict[int, Any] = field(default_factory=dict[int, Any])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    required: frozenset[str] = frozenset()
    query: dict[str, str] = field(default_factory=dict[str, str])
    text: str | None = None

    @property
    def operation_id(self) -> str:
        words = (part.strip("{}").replace("-", "_") for part in self.path.split("/")[3:])
        return "_".join((*words, self.method.lower()))


def describe(app: FastAPI, operations: Sequence[Operation]) -> None:
    """Have `app.openapi` tell of `operations`, too, and of what every operation may answer besides."""
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = of_fastapi()
            schema = _Schemas([kind for each in operations for kind in (each.body, *each.answers.values())])
            document["components"]["schemas"] |= schema.components
            for each in operations:
                document["paths"].setdefault(each.path, {})[each.method.lower()] = _entry(each, schema)
            _tell_of_refusals(document)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _tell_of_refusals(document: dict[str, Any]) -> None:
    """Every operation may refuse, always in the same form; FastAPI's own form for bodies is not ours."""
    refusal = {
        "description": "Refused; the text says whose fault it is and what would work",
        "content": {
            "application/json": {"schema": {"$ref": _PLACE.format(name=ErrorBody.__name__)}},
            "text/plain": {"schema": {"type": "string"}},  # of what is no HTTP, before any route is asked
        },
    }
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"].setdefault("default", refusal)
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] == "target":
                    parameter["schema"] = _TARGET
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


class _Schemas:
    """JSON schemas of the types that plain routes take and give.

    msgspec refuses unions of structs that it could not tell apart when it reads; nobody reads answers here.
    """

    def __init__(self, kinds: Sequence[Any]) -> None:
        leaves = [leaf for kind in kinds if kind is not None for leaf in _leaves(kind)]
        schemas, self.components = msgspec.json.schema_components([*leaves, ErrorBody], ref_template=_PLACE)
        self._leaves = dict(zip(map(repr, leaves), schemas, strict=False))

    def __call__(self, kind: Any) -> dict[str, Any]:
        match get_origin(kind):
            case types.UnionType:
                return {"anyOf": [self(member) for member in get_args(kind)]}
            case origin if origin is dict:
                return {"type": "object", "additionalProperties": self(get_args(kind)[1])}
            case origin if origin is list:
                return {"type": "array", "items": self(get_args(kind)[0])}
            case _:
                return dict(self._leaves[repr(kind)])


def _leaves(kind: Any) -> list[Any]:
    """The types in `kind` that are no containers of others."""
    match get_origin(kind):
        case types.UnionType:
            return [leaf for member in get_args(kind) for leaf in _leaves(member)]
        case origin if origin in (dict, list):
            return _leaves(get_args(kind)[-1])
        case _:
            return [kind]


def _entry(operation: Operation, schema: _Schemas) -> dict[str, Any]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    parameters += [
        {
            "name": name,
            "in": "header",
            "required": name in operation.required,
            "description": use,
            "schema": _header_schema(name, operation),
        }
        for name, use in operation.headers.items()
    ]
    parameters += [
        {"name": name, "in": "query", "description": use, "schema": {"type": "string"}}
        for name, use in operation.query.items()
    ]
    entry: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": operation.operation_id,
        "parameters": parameters,
        "responses": {
            str(status): _answer(status, kind, schema) for status, kind in operation.answers.items()
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schema(operation.body)}}
        required = any(each.required for each in msgspec.structs.fields(operation.body))
        entry["requestBody"] = {"required": required, "content": content}
    if operation.text is not None:
        content = {operation.text: {"schema": {"type": "string"}}}
        entry["requestBody"] = {"required": True, "content": content}
        entry["responses"]["200"]["content"] = content
    return entry


def _header_schema(name: str, operation: Operation) -> dict[str, Any]:
    """An empty header counts as none, where one may be missing."""
    if not name.startswith("X-"):
        return _KEY
    return _ID if name in operation.required else _ID_OR_NONE


def _answer(status: int, kind: Any, schema: _Schemas) -> dict[str, Any]:
    said = "Done" if status < 400 else "Refused"
    if kind is None:
        return {"description": said}
    return {"description": said, "content": {"application/json": {"schema": schema(kind)}}}
