"""Middleware: `.json` behind a page's path asks for its JSON twin."""

from __future__ import annotations

from hallmark.apps.web.render import TWIN
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send

SUFFIX = ".json"
NOT_PAGES = ("/v1/", "/assets/")
FILES = (".hallmark.json",)


class Twins:
    """ASGI middleware: takes the suffix off, so that the page's own route answers, and remembers it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = scope["path"]
            if path.endswith(SUFFIX) and not path.startswith(NOT_PAGES) and not path.endswith(FILES):
                bare = path.removesuffix(SUFFIX)
                page = "/" if bare == "/index" else bare
                scope = {**scope, "path": page, "raw_path": page.encode(), TWIN: True}
        await self._app(scope, receive, send)
