"""Memory over HTTP, in AgentField's shapes and with its texts."""

from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from agentfield_rt.memory import (
    DIMENSIONS_MAX,
    KEY_CHARS_MAX,
    MATCHES_MAX,
    Entry,
    MemoryRefused,
    Scope,
    Where,
    as_json,
)
from agentfield_rt.plane.errors import NotFound
from agentfield_rt.plane.http.dependencies import ID_CHARS_MAX, Plane
from agentfield_rt.plane.notation import iso

router = APIRouter(prefix="/api/v1/memory", tags=["memory"])

TOP_K = 10

Id = Annotated[str | None, Header(max_length=ID_CHARS_MAX)]
Key = Annotated[str, Field(min_length=1, max_length=KEY_CHARS_MAX)]
Number = Annotated[float, Field(strict=True, ge=-3.4028234e38, le=3.4028234e38)]
"""What four bytes hold."""
Embedding = Annotated[list[Number], Field(min_length=1, max_length=DIMENSIONS_MAX)]


def standing(
    *, x_workflow_id: Id = None, x_session_id: Id = None, x_actor_id: Id = None, x_agent_node_id: Id = None
) -> Where:
    """Where a request stands; an empty header counts as none."""
    return Where(
        workflow_id=x_workflow_id or None,
        session_id=x_session_id or None,
        actor_id=x_actor_id or None,
        agent_id=x_agent_node_id or None,
    )


Standing = Annotated[Where, Depends(standing)]


class ScopedBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    scope: Scope | None = None


class KeyBody(ScopedBody):
    key: Key


class SetBody(KeyBody):
    data: Any


class VectorBody(KeyBody):
    embedding: Embedding
    metadata: dict[str, Any] | None = None


class SearchBody(ScopedBody):
    query_embedding: Embedding
    top_k: int = Field(default=TOP_K, le=MATCHES_MAX, strict=True)
    filters: dict[str, Any] | None = None


@router.post("/set")
async def set_value(body: SetBody, *, caller: Standing, plane: Plane) -> Response:
    """Keep any JSON under a key; durable when this answers.

    Without a scope it is the first of workflow, session and actor that a header names, else global.
    """
    return _json(
        _entry_view(await plane.memory.set(_within(caller, body.scope), body.key, as_json(body.data)))
    )


@router.post("/get")
async def get_value(body: KeyBody, *, caller: Standing, plane: Plane) -> Response:
    """The value of a key; without a scope, the first of workflow, session, actor and global."""
    entry = await plane.memory.get(_within(caller, body.scope), body.key)
    if entry is None:
        raise NotFound("memory not found" if body.scope else "Memory key not found in any scope")
    return _json(_entry_view(entry))


@router.post("/delete", status_code=204)
async def delete_value(body: KeyBody, *, caller: Standing, plane: Plane) -> Response:
    """Forget a value. That there was none is no error: it is gone."""
    await plane.memory.delete(_within(caller, body.scope), body.key)
    return Response(status_code=204)


@router.get("/list")
async def list_values(
    *, scope: Annotated[Scope | None, Query()] = None, caller: Standing, plane: Plane
) -> Response:
    """All values of a scope, as a bare array."""
    if scope is None:
        raise MemoryRefused("Scope parameter is required for listing memory")
    entries = await plane.memory.entries(_within(caller, scope))
    return _json([_entry_view(entry) for entry in entries])


@router.post("/vector/set")
async def set_vector(body: VectorBody, *, caller: Standing, plane: Plane) -> Response:
    """Keep an embedding under a key; durable when this answers."""
    metadata = body.metadata or {}
    section = await plane.memory.set_vector(
        _within(caller, body.scope), body.key, embedding=body.embedding, metadata=metadata
    )
    return _json(
        {
            "key": body.key,
            "scope": section.scope,
            "scope_id": section.scope_id,
            "metadata": msgspec.Raw(as_json(metadata)),
        }
    )


@router.post("/vector/search")
async def search_vectors(body: SearchBody, *, caller: Standing, plane: Plane) -> Response:
    """The most similar vectors of a scope by cosine, as a bare array; `distance` is 1 - `score`."""
    found = await plane.memory.search(
        _within(caller, body.scope),
        body.query_embedding,
        top_k=body.top_k if body.top_k > 0 else TOP_K,
        filters=body.filters or {},
    )
    return Response(as_json(found), media_type="application/json")


@router.post("/vector/delete", status_code=204)
async def delete_vector(body: KeyBody, *, caller: Standing, plane: Plane) -> Response:
    """Forget a vector. That there was none is no error: it is gone."""
    await plane.memory.delete_vector(_within(caller, body.scope), body.key)
    return Response(status_code=204)


def _within(caller: Where, scope: Scope | None) -> Where:
    return replace(caller, scope=scope)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _entry_view(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "data": msgspec.Raw(entry.data),
        "scope": entry.section.scope,
        "scope_id": entry.section.scope_id,
        "created_at": iso(entry.created_at_ns / 1e9),
        "updated_at": iso(entry.updated_at_ns / 1e9),
    }
