"""Errors as pages: the reason, one sentence, what to do next; the same as JSON for programs."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hallmark.apps.web.forms import GIVEN, Form
from hallmark.apps.web.render import JSON, answer, wants_json
from hallmark.apps.web.visitor import visitor_of
from hallmark.core.errors import HallmarkError, NotFound
from hallmark.http.asgi import Receive, Scope, Send
from hallmark.http.errors import MethodNotAllowed, render, render_bug

TITLES: Final = {
    400: "This cannot be used",
    401: "Sign in first",
    403: "This was refused",
    404: "There is nothing here",
    405: "Not in this way",
    409: "This contradicts what is recorded",
    413: "This is too large",
    422: "This does not hold",
    503: "Not just now",
}

log = structlog.get_logger()


def tell(scope: Scope, error: Exception) -> None:
    """Note a bug: where and what kind, never the message, which may hold content."""
    del scope  # an address may hold content as well
    log.error("page_failed", exc_info=error)


async def as_page(error: HallmarkError | None, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with an error as a page; None is a bug."""
    await failed(Request(scope, receive), error)(scope, receive, send)


def failed(request: Request, error: HallmarkError | None) -> Response:
    """The answer for an error; None is a bug."""
    api = request.url.path.startswith("/v1/")
    shown = error or HallmarkError("internal_error", "Something went wrong here that should not have.")
    headers = {"retry-after": "1"} if shown.status == 503 else {}
    if api or wants_json(request):
        return Response(render(error) if error else render_bug(), shown.status, headers, JSON)
    title = TITLES.get(shown.status, "Something went wrong")
    signed_in = visitor_of(request.scope).person is not None
    form = request.scope.get(GIVEN)
    return answer(
        request,
        "error.html",
        None,
        status=shown.status,
        headers=headers,
        title=title,
        error=shown,
        signed_in=signed_in,
        typed=form.texts if isinstance(form, Form) else (),
    )


async def http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405 with a reason."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return failed(
            request,
            NotFound("unknown_path", "There is nothing at this path.", "The start page leads to all pages."),
        )
    if status == 405:
        return failed(request, MethodNotAllowed("method_not_allowed", "This page does not take this method."))
    return failed(request, None)
