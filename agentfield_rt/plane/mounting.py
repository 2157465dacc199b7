"""A control plane as a part of somebody else's ASGI application."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from fastapi import FastAPI
from starlette.applications import Starlette

from agentfield_rt.plane.errors import NotOpened

__all__ = ["Unopened", "mount"]


class Unopened:
    """Stands in for a plane until its lifespan opens it, and says so to whoever needs it before."""

    telemetry = None
    """Requests are observed if there is something to observe them with, and answered all the same."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NotOpened


def mount(host: Starlette, path: str, plane: FastAPI) -> None:
    """Serve `plane`, made by `create_app`, below `path` of `host`, a Starlette or FastAPI application.

    ASGI servers open and close the application that they serve; what is mounted in it is its own business.
    So the plane is opened after the host's own lifespan has begun, and closed before that ends.
    """
    of_host = host.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[Any]:
        async with of_host(app) as state, plane.router.lifespan_context(plane):
            yield state

    host.router.lifespan_context = lifespan
    host.mount(path, plane)
