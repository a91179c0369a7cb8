"""Errors as OpenAI clients expect them: {"error": {"message", "type", "param", "code", "hint"}}."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.http.asgi import ASGIApp, Disconnected, Message, Receive, Scope, Send, respond

# OpenAI's error types by HTTP status; the stable reason code stands in `code`.
TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    409: "conflict_error",
    412: "policy_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "verification_error",
    428: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}

AGAIN: Final = frozenset((408, 429, 503))
DO_NOT_RETRY: Final = (b"x-should-retry", b"false")


class MethodNotAllowed(InvalidInput):
    """The path exists, but not for this method; `allow` names those that it takes (RFC 9110 15.5.6)."""

    status = 405

    allow: tuple[str, ...] = ()


class UnknownEncoding(InvalidInput):
    """The body is encoded in a way that is not read here (RFC 9110 section 15.5.16)."""

    status = 415


def not_allowed(*allow: str) -> MethodNotAllowed:
    """The error for a path that takes only these methods."""
    error = MethodNotAllowed("method_not_allowed", f"This path takes {allow[0]}.")
    error.allow = allow
    return error


def render(error: HallmarkError, *, extra: dict[str, object] | None = None) -> bytes:
    """The JSON body for `error`; `extra` members are added to the error object.

    The hint stands in the message as well: most clients show nothing else.
    """
    param = getattr(error, "param", None)
    body: dict[str, object] = {
        "message": f"{error.message} {error.hint}".rstrip(),
        "type": TYPES.get(error.status, "server_error"),
        "param": param,
        "code": error.reason,
        "hint": error.hint,
    }
    return msgspec.json.encode({"error": body | (extra or {})})


def render_bug() -> bytes:
    """The JSON body for an exception that nobody expected: it says nothing about the cause."""
    return render(HallmarkError("internal_error", "Something went wrong here that should not have."))


async def respond_error(send: Send, error: HallmarkError, *, extra: dict[str, object] | None = None) -> None:
    """Send `error` with its HTTP status, and whether and when to ask again. An error's own `detail`, a dict,
    is shown with it.
    """
    body = render(error, extra=extra or getattr(error, "detail", None))
    await respond(send, error.status, body, headers_of(error))


def headers_of(error: HallmarkError) -> list[tuple[bytes, bytes]]:
    """What the head of an error says: `Retry-After`, or that asking again cannot help, in the header that
    OpenAI's own clients obey; and which methods a path takes. An error's own `headers` follow.
    """
    again = error.status in AGAIN if error.retry is None else error.retry
    headers = [(b"retry-after", (error.retry_after or "1").encode()) if again else DO_NOT_RETRY]
    headers += getattr(error, "headers", ())
    allow = getattr(error, "allow", ())
    return [*headers, (b"allow", ", ".join(allow).encode())] if allow else headers


Answer: TypeAlias = Callable[[HallmarkError | None, Scope, Receive, Send], Awaitable[None]]
Tell: TypeAlias = Callable[[Scope, Exception], None]


async def as_json(error: HallmarkError | None, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with an error as JSON; None is a bug."""
    if error is None:
        await respond(send, 500, render_bug(), [DO_NOT_RETRY])
    else:
        await respond_error(send, error)


def _reasoned(group: ExceptionGroup) -> Exception:
    """What stands for a group: the first of its errors when all have a reason, else the group: a bug."""
    if group.split(HallmarkError)[1] is not None:
        return group
    first: Exception = group
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first


class Errors:
    """ASGI middleware: answers a HallmarkError, hides the cause of any other exception, drops the connection
    when the response had begun. `answer` writes the answer. A bug is raised on, unless `tell` is given, which
    is told of it instead.
    """

    def __init__(self, app: ASGIApp, *, answer: Answer = as_json, tell: Tell | None = None) -> None:
        self._app, self._answer, self._tell = app, answer, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            try:
                await self._app(scope, receive, watched)
            except ExceptionGroup as group:
                raise _reasoned(group) from group
        except Disconnected:
            return
        except HallmarkError as error:
            if started:
                raise
            await self._answer(error, scope, receive, send)
        except asyncio.CancelledError:
            if not started:  # the server is ending and will not wait any longer
                stopping = Unavailable("server_stopping", "The service is stopping.", "Ask again.")
                await self._answer(stopping, scope, receive, send)
            raise
        except Exception as error:
            if self._tell is not None:
                self._tell(scope, error)
            if not started:
                await self._answer(None, scope, receive, send)
            if started or self._tell is None:
                raise
