"""HTTP of the anchoring service: GET /anchor?size=N[&confirmations=K], GET /status."""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec

from hallmark.core.errors import NotFound
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send, query_int, respond, respond_json
from hallmark.services.anchor.service import AnchorService

LARGEST = 2**53


def create_app(service: AnchorService, confirmations: int) -> ASGIApp:
    """The app; `confirmations` is how deep a record is unless the caller asks for another depth."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        path = (scope["method"], scope["path"])
        if path == ("GET", "/anchor"):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            size = query_int(_first(query, "size"), 1, low=0, high=LARGEST)
            depth = query_int(_first(query, "confirmations"), confirmations, low=1, high=LARGEST)
            await respond(send, 200, (await service.record(size, depth)).encode())
        elif path == ("GET", "/status"):
            await respond_json(send, msgspec.to_builtins(await service.status()))
        else:
            raise NotFound("no_such_page", "There is no such page here.", "Ask for /anchor or /status.")

    return app


def _first(query: dict[str, list[str]], name: str) -> str | None:
    values = query.get(name)
    return values[0] if values else None
