"""The desk's JSON API: equal to what its pages can do. Routes under /v1/hallmark/review and
/v1/hallmark/policies.

Who asks is said by a session: `authorization: Bearer <token>`, or the browser's cookie; what changes
something
then needs the header `x-hallmark-csrf` beside the cookie. A declaration may come with an API token instead
(`authorization: Bearer <api token>`). Errors are in OpenAI's shape with a stable code, a sentence and a hint.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hallmark.core.errors import HallmarkError, InvalidInput, TooLarge
from hallmark.http.asgi import query_int
from hallmark.http.errors import render
from hallmark.services.explorer.shared_views import Shown
from hallmark.services.review import actions as act
from hallmark.services.review.queue import MAX_LIMIT
from hallmark.services.review.service import ReviewService
from hallmark.services.review.sessions import SignInRequest, bearer_of
from hallmark.services.review.views import Person

REVIEW: Final = "/v1/hallmark/review"
POLICIES: Final = "/v1/hallmark/policies"
NO_STORE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
JSON: Final = "application/json"
PAGE: Final = 50
MAX_BODY: Final = 1024 * 1024
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
ACTS: Final[Mapping[str, tuple[str, type[act.Request]]]] = {
    "review": ("review", act.ReviewRequest),
    "assign": ("assign", act.AssignRequest),
    "comment": ("comment", act.CommentRequest),
    "appeal": ("appeal", act.AppealRequest),
    "answer-appeal": ("answer_appeal", act.AnswerAppealRequest),
    "release": ("release", act.ReleaseRequest),
    "reject": ("reject", act.RejectRequest),
}


class DryRunRequest(act.Request, frozen=True):
    """A policy file to try on items born since a time (unix ms)."""

    toml: str
    since: int = 0


class Me(Shown, frozen=True):
    """Who is signed in (null: nobody) and what a form of theirs must carry."""

    person: Person | None
    csrf: str = ""
    operator: bool = False


class Done(Shown, frozen=True):
    """Something was done that has nothing to show."""

    done: bool = True


class API:
    """See the module docstring. `routes` are to be mounted at the root."""

    def __init__(self, desk: ReviewService) -> None:
        self._desk, self._sessions = desk, desk.sessions

    def routes(self) -> list[BaseRoute]:
        """Every route."""
        return [
            *self._reading(),
            *self._session_routes(),
            *(self._route(f"{REVIEW}/items/{{id}}/{verb}", self._act(verb), "POST") for verb in ACTS),
            self._route(f"{REVIEW}/items/{{id}}/declare", self._declare, "POST"),
            self._route(f"{REVIEW}/bulk", self._with(act.BulkRequest, self._desk.bulk), "POST"),
            self._route(f"{REVIEW}/views", self._with(act.SaveViewRequest, self._desk.save_view), "POST"),
            self._route(f"{REVIEW}/views/{{name}}", self._forget_view, "DELETE"),
            self._route(f"{REVIEW}/webhooks", self._webhooks, "GET"),
            self._route(f"{REVIEW}/webhooks", self._with(act.WebhookRequest, self._desk.add_webhook), "POST"),
            self._route(f"{REVIEW}/webhooks/{{id}}", self._remove_webhook, "DELETE"),
            self._route(f"{REVIEW}/webhooks/{{id}}/dead", self._dead_letters, "GET"),
            self._route(f"{REVIEW}/webhooks/{{id}}/dead/{{delivery}}/redeliver", self._redeliver, "POST"),
            self._route(f"{POLICIES}/dry-run", self._dry_run, "POST"),
            self._route(f"{POLICIES}/propose", self._with(act.ProposeRequest, self._desk.propose), "POST"),
            # Behind the fixed names: a policy may be called anything.
            self._route(f"{POLICIES}/{{name}}", self._policy, "GET"),
        ]

    def _reading(self) -> list[BaseRoute]:
        return [
            self._route(f"{REVIEW}/items", self._items, "GET"),
            self._route(f"{REVIEW}/items/{{id}}", self._item, "GET"),
            self._route(f"{REVIEW}/items/{{id}}/as-seen", self._as_seen, "GET"),
            self._route(f"{REVIEW}/figures", self._figures, "GET"),
            self._route(f"{REVIEW}/views", self._views, "GET"),
            self._route(POLICIES, self._policies, "GET"),
        ]

    def _session_routes(self) -> list[BaseRoute]:
        return [
            self._route(f"{REVIEW}/challenge", self._challenge, "GET"),
            self._route(f"{REVIEW}/sign-in", self._sign_in, "POST"),
            self._route(f"{REVIEW}/sign-out", self._sign_out, "POST"),
            self._route(f"{REVIEW}/me", self._me, "GET"),
        ]

    def _route(self, path: str, handler: Handler, method: str) -> Route:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except HallmarkError as error:
                retry = {"retry-after": "1"} if error.status == 503 else {}
                return Response(render(error), error.status, {**NO_STORE, **retry}, JSON)

        return Route(path, guarded, methods=[method])

    async def _items(self, request: Request) -> Response:
        members = parse_qsl(request.url.query, keep_blank_values=False)
        filters = urlencode([(name, value) for name, value in members if name not in ("cursor", "limit")])
        limit = query_int(request.query_params.get("limit"), PAGE, low=1, high=MAX_LIMIT)
        cursor = request.query_params.get("cursor", "")
        return answer(await self._desk.queue(filters, cursor, limit, await self._who(request)))

    async def _item(self, request: Request) -> Response:
        return answer(await self._desk.item(request.path_params["id"], await self._who(request)))

    async def _as_seen(self, request: Request) -> Response:
        number = query_int(request.query_params.get("number"), 0, low=0, high=2**31)
        return answer(await self._desk.as_seen(request.path_params["id"], number))

    async def _figures(self, _: Request) -> Response:
        return answer(await self._desk.figures())

    async def _views(self, request: Request) -> Response:
        page = await self._desk.queue("", "", 1, await self._who(request))
        return answer(page.views)

    async def _policies(self, _: Request) -> Response:
        return answer(await self._desk.policies())

    async def _policy(self, request: Request) -> Response:
        return answer(await self._desk.policy(request.path_params["name"]))

    async def _dry_run(self, request: Request) -> Response:
        asked = await read(request, DryRunRequest)
        return answer(await self._desk.dry_run(asked.toml, asked.since))

    async def _challenge(self, _: Request) -> Response:
        return answer(self._sessions.challenge())

    async def _sign_in(self, request: Request) -> Response:
        proof = await read(request, SignInRequest)
        brought = self._sessions.cookie_of(request.headers)
        session = await self._sessions.sign_in(proof, brought)
        response = answer(session)
        response.headers["set-cookie"] = self._sessions.set_cookie(session.token)
        return response

    async def _sign_out(self, request: Request) -> Response:
        await self._sessions.require(request.headers)
        token = bearer_of(request.headers) or self._sessions.cookie_of(request.headers)
        await self._sessions.sign_out(token)
        response = answer(Done())
        response.headers["set-cookie"] = self._sessions.set_cookie("")
        return response

    async def _me(self, request: Request) -> Response:
        found = await self._sessions.who(request.headers)
        if found is None:
            return answer(Me(None))
        return answer(Me(found.person, found.csrf, self._desk.is_operator(found.person)))

    def _act(self, verb: str) -> Handler:
        name, kind = ACTS[verb]
        do: Callable[[Person, str, Any], Awaitable[object]] = getattr(self._desk, name)

        async def handler(request: Request) -> Response:
            person = await self._sessions.require(request.headers)
            return answer(await do(person, request.path_params["id"], await read(request, kind)))

        return handler

    def _with(self, kind: type[T], do: Callable[[Person, T], Awaitable[object]]) -> Handler:
        async def handler(request: Request) -> Response:
            person = await self._sessions.require(request.headers)
            return answer(await do(person, await read(request, kind)))

        return handler

    async def _declare(self, request: Request) -> Response:
        token, person = bearer_of(request.headers), None
        if not token or await self._sessions.person(token) is not None:
            person = await self._sessions.require(request.headers)
        asked = await read(request, act.DeclareRequest)
        return answer(await self._desk.declare(person, token, request.path_params["id"], asked))

    async def _forget_view(self, request: Request) -> Response:
        person = await self._sessions.require(request.headers)
        shared = request.query_params.get("shared") == "1"
        await self._desk.forget_view(person, request.path_params["name"], shared)
        return answer(Done())

    async def _webhooks(self, request: Request) -> Response:
        return answer(await self._desk.webhooks(await self._reader(request)))

    async def _remove_webhook(self, request: Request) -> Response:
        person = await self._sessions.require(request.headers)
        await self._desk.remove_webhook(person, request.path_params["id"])
        return answer(Done())

    async def _dead_letters(self, request: Request) -> Response:
        return answer(await self._desk.dead_letters(await self._reader(request), request.path_params["id"]))

    async def _redeliver(self, request: Request) -> Response:
        person = await self._sessions.require(request.headers)
        await self._desk.redeliver(person, request.path_params["id"], request.path_params["delivery"])
        return answer(Done())

    async def _who(self, request: Request) -> Person | None:
        found = await self._sessions.who(request.headers)
        return found.person if found is not None else None

    async def _reader(self, request: Request) -> Person:
        return await self._sessions.require(request.headers, changes=False)


def routes(desk: ReviewService) -> list[BaseRoute]:
    """The API's routes."""
    return API(desk).routes()


def answer(value: object) -> Response:
    """A JSON answer that nobody keeps."""
    return Response(msgspec.json.encode(value), 200, NO_STORE, JSON)


async def read(request: Request, kind: type[T]) -> T:
    """The request's JSON body. Raises InvalidInput `bad_request`, `bad_content_type`, TooLarge."""
    # A form of another site cannot send this type without asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise InvalidInput("bad_content_type", "The body is JSON: content-type application/json.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise TooLarge("body_too_large", f"A request body has at most {MAX_BODY} bytes.")
    try:
        return msgspec.json.decode(bytes(body), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_request", "The body is not what this asks for.", str(error)) from error
