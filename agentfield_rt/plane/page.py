"""The page, below every address that is not the API's, and what an address that exists may be asked for."""

import re
from functools import lru_cache
from importlib.resources import files

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.routing import Match, Mount, compile_path
from starlette.types import Scope


class Page(Mount):
    """The page's files.

    A mount takes every request below it, whatever its method. The API's addresses are left to the API, which
    can say of a wrong method that it is one.
    """

    def __init__(self) -> None:
        static = str(files("agentfield_rt.plane") / "static")
        super().__init__("/", StaticFiles(directory=static, html=True), name="page")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `starlette.routing.BaseRoute`."""
        path: str = scope["path"]
        if path.removeprefix(scope.get("root_path", "")).startswith("/api/"):
            return Match.NONE, {}
        return super().matches(scope)


def allowed_methods(app: FastAPI, path: str) -> str:
    """What the document says that an address may be asked with, for `Allow`; "" if it does not tell of it.

    Starlette asks the first route that fits, and an address may have several, one for each method.
    """
    fitting = [entry for entry in _documented(app) if entry[1].match(path)]
    return ", ".join(min(fitting, key=lambda entry: entry[0])[2]) if fitting else ""


@lru_cache(maxsize=4)  # applications in this process
def _documented(app: FastAPI) -> list[tuple[int, re.Pattern[str], tuple[str, ...]]]:
    """Of every address: how many parameters it has, what fits it, its methods."""
    return [
        (path.count("{"), compile_path(path)[0], tuple(sorted(method.upper() for method in operations)))
        for path, operations in app.openapi()["paths"].items()
    ]
