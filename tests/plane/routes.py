"""Every route of the application, read off it: what is tested of all of them is tested of new ones, too."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route, WebSocketRoute

WEBSOCKET = "WEBSOCKET"


def every_route(app: FastAPI) -> Iterator[tuple[str, str]]:
    """(method, path) of each, with the parameters' names in braces. The page's files are not among them."""
    routes: list[Any] = list(app.routes)
    for route in routes:
        found: list[Any] = [route]
        if hasattr(route, "effective_route_contexts"):  # how FastAPI includes a router
            contexts: list[Any] = list(route.effective_route_contexts())
            found = [getattr(context, "starlette_route", None) or context for context in contexts]
        for each in found:
            if isinstance(each, WebSocketRoute):
                yield WEBSOCKET, each.path
            elif isinstance(each, Route) or hasattr(each, "methods"):
                for method in sorted(set(each.methods or ()) - {"HEAD"}):
                    yield method, each.path
