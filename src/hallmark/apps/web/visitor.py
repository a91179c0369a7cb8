"""Who is asking: what a page knows of the person in front of it."""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.http.asgi import ASGIApp, Receive, Scope, Send
from hallmark.services.review.sessions import Sessions
from hallmark.services.review.views import Person


class Visitor(msgspec.Struct, frozen=True):
    """`person` is None when nobody is signed in; `csrf` is the token that every form carries."""

    person: Person | None = None
    csrf: str = ""


NOBODY = Visitor()


def visitor_of(scope: Any) -> Visitor:
    """The visitor that the middleware found for a request's scope."""
    found = scope.get("state", {}).get("visitor", NOBODY)
    return found if isinstance(found, Visitor) else NOBODY


class Visitors:
    """ASGI middleware: looks up the session once for every page; assets and the API need none."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not scope["path"].startswith(("/assets/", "/v1/")):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            found = await self._sessions.who(headers)
            if found is not None:
                scope.setdefault("state", {})["visitor"] = Visitor(found.person, found.csrf)
        await self._app(scope, receive, send)
