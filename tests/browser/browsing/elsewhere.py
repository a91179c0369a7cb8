"""Another site with one page."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route


def site(body: str) -> Starlette:
    """A site whose one page has this body."""

    async def page(_: Request) -> Response:
        head = "<!doctype html><html lang=en><title>Elsewhere</title><link rel=icon href='data:,'>"
        return HTMLResponse(head + body)

    return Starlette(routes=[Route("/", page)])
