"""The routes that FastAPI does not see, in the document that it makes: schemas are read off their structs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from fastapi import FastAPI

_PLACE = "#/components/schemas/{name}"


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
    """

    method: str
    path: str
    tag: str
    summary: str
    body: Any = None
    answers: dict[int, Any] = field(default_factory=dict[int, Any])
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def operation_id(self) -> str:
        words = (part.strip("{}").replace("-", "_") for part in self.path.split("/")[3:])
        return "_".join((*words, self.method.lower()))


def describe(app: FastAPI, operations: Sequence[Operation]) -> None:
    """Have `app.openapi` tell of `operations`, too."""
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = of_fastapi()
            types = [kind for each in operations for kind in (each.body, *each.answers.values()) if kind]
            schemas, components = msgspec.json.schema_components([*types, ErrorBody], ref_template=_PLACE)
            shapes = dict(zip(map(repr, types), schemas, strict=False))
            shapes[repr(ErrorBody)] = schemas[-1]
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
            for each in operations:
                document["paths"].setdefault(each.path, {})[each.method.lower()] = _entry(each, shapes)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _entry(operation: Operation, shapes: dict[str, Any]) -> dict[str, Any]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    word = {"type": "string"}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": word} for name in names
    ]
    parameters += [
        {"name": name, "in": "header", "required": False, "description": use, "schema": word}
        for name, use in operation.headers.items()
    ]
    entry: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": operation.operation_id,
        "parameters": parameters,
        "responses": {
            str(status): _answer(status, kind, shapes) for status, kind in operation.answers.items()
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": shapes[repr(operation.body)]}}
        entry["requestBody"] = {"required": False, "content": content}
    return entry


def _answer(status: int, kind: Any, shapes: dict[str, Any]) -> dict[str, Any]:
    said = "Done" if status < 400 else "Refused"
    if kind is None:
        return {"description": said}
    return {"description": said, "content": {"application/json": {"schema": shapes[repr(kind)]}}}
