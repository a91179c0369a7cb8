"""`/review`: the queue under a filter, its figures, appeals, and one act on many items of one reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hallmark.apps.web import flash
from hallmark.apps.web.forms import signed_form
from hallmark.apps.web.render import answer
from hallmark.apps.web.review.acts import asked_for
from hallmark.apps.web.surfaces import Surfaces
from hallmark.apps.web.visitor import visitor_of
from hallmark.core.errors import InvalidInput
from hallmark.http.asgi import query_int
from hallmark.services.review import actions
from hallmark.services.review.views import Count, QueuePage

ROWS: Final = 50
MOST_ROWS: Final = 200
DEFAULT: Final = "state=HOLD"
EVERY_STATE: Final = "HOLD,CLEAR,FINAL,REJECTED"
PAGING: Final = ("cursor", "limit", "done")
ORDERS: Final = (
    ("", "oldest first"),
    ("newest", "newest first"),
    ("value", "highest value"),
    ("due", "soonest due"),
)
SWITCHES: Final = (
    ("overdue", "past their time"),
    ("missed", "missed a promise"),
    ("sampled", "drawn to be looked at again"),
    ("appealed", "with an open appeal"),
    ("released", "released under break-glass"),
)


class Choice(msgspec.Struct, frozen=True):
    """A filter as a link: its words, where it leads, its items (-1: not counted), what it means."""

    name: str
    href: str
    count: int = -1
    current: bool = False
    title: str = ""


class Group(msgspec.Struct, frozen=True):
    """Filters of one kind."""

    name: str
    choices: tuple[Choice, ...]


class Query:
    """A filter in URL form, from which other filters are one step away."""

    def __init__(self, text: str) -> None:
        self.pairs = {
            name: value for name, value in parse_qsl(text, keep_blank_values=False) if name not in PAGING
        }

    @property
    def text(self) -> str:
        """URL form."""
        return urlencode(self.pairs, safe=":,")

    def get(self, name: str) -> str:
        """A member, or ""."""
        return self.pairs.get(name, "")

    def href(self, **changes: str) -> str:
        """Where the filter with other members is; an empty member is left out."""
        pairs = {name: value for name, value in {**self.pairs, **changes}.items() if value}
        return "/review" + (f"?{urlencode(pairs, safe=':,')}" if pairs else "")

    def choice(self, name: str, member: str, value: str, count: int = -1, title: str = "") -> Choice:
        """A filter that sets `member`; chosen already, it leads back to the queue without it."""
        chosen = self.get(member) == value
        return Choice(name, self.href(**{member: "" if chosen else value}), count, chosen, title)

    def switch(self, name: str, member: str) -> Choice:
        """A filter that is on or off; it looks at items in every state."""
        chosen = self.get(member) == "1"
        return Choice(name, self.href(state="", **{member: "" if chosen else "1"}), current=chosen)


def groups(query: Query, page: QueuePage) -> tuple[Group, ...]:
    """Every filter that the queue offers, with counts where there are some."""
    states = (
        query.choice("every state", "state", EVERY_STATE),
        *(query.choice(c.name, "state", c.name, c.count) for c in page.states),
    )
    return (
        Group("State", states),
        Group(
            "Held for",
            tuple(query.choice(_reason(c.name), "reason", c.name, c.count, c.sentence) for c in page.reasons),
        ),
        Group("Class", tuple(_classes(query, page.classes))),
        Group("Only", tuple(query.switch(words, name) for name, words in SWITCHES)),
        Group("Order", tuple(query.choice(words, "order", name) for name, words in ORDERS)),
    )


def _classes(query: Query, counts: Iterable[Count]) -> Iterable[Choice]:
    return (query.choice(c.name, "class", c.name, c.count) for c in counts if c.name)


def _reason(name: str) -> str:
    question, _, code = name.partition(":")
    return f"{question}: {code.replace('_', ' ')}" if code else name


class QueuePages:
    """Pages over many items."""

    def __init__(self, surfaces: Surfaces) -> None:
        self._surfaces = surfaces
        self._desk, self._actions = surfaces.desk, surfaces.actions

    async def queue(self, request: Request) -> Response:
        """The queue. Without any filter it shows what is in HOLD, oldest first."""
        query = Query(request.url.query)
        return await self._listed(request, query if query.pairs else Query(DEFAULT), "review/queue.html")

    async def appeals(self, request: Request) -> Response:
        """Items whose appeal is open."""
        return await self._listed(request, Query("appealed=1&order=due"), "review/appeals.html")

    async def _listed(self, request: Request, query: Query, template: str) -> Response:
        limit = query_int(request.query_params.get("limit"), ROWS, low=1, high=MOST_ROWS)
        cursor = request.query_params.get("cursor", "")
        page = await self._desk.queue(query.text, cursor, limit, visitor_of(request.scope).person)
        following = query.href(cursor=page.next) if page.next else ""
        done = flash.said(request)
        return answer(
            request,
            template,
            page,
            headers=flash.once(done),
            filter=query,
            groups=groups(query, page),
            following=following,
            later=bool(cursor),
            done=done,
            saved=tuple((view, Query(view.query).href()) for view in page.views),
        )

    async def figures(self, request: Request) -> Response:
        """Aggregates that anyone may see."""
        return answer(request, "review/figures.html", await self._desk.figures())

    async def bulk(self, request: Request) -> Response:
        """One act on the items that were picked, all held for one reason; the outcome as a page."""
        person, form = await signed_form(request, self._surfaces)
        picked = form.all("item")
        if not picked:
            raise InvalidInput("bulk_nothing", "No item was picked.", "Pick the items that the act is for.")
        wanted = asked_for(
            actions.BulkRequest,
            {
                "reason": form.text("reason"),
                "items": picked,
                **_bulk_act(form.text("act"), form.text("text"), form.text("code"), person.address),
            },
        )
        done = await self._actions.bulk(person, wanted)
        return answer(request, "review/bulk.html", done, reason=_reason(wanted.reason))

    async def save_view(self, request: Request) -> Response:
        """Keep a filter under a name."""
        person, form = await signed_form(request, self._surfaces)
        query = Query(form.text("query"))
        wanted = asked_for(
            actions.SaveViewRequest,
            {"name": form.text("name"), "query": query.text, "shared": form.text("shared") == "1"},
        )
        await self._actions.save_view(person, wanted)
        return flash.on_to(request, "view-saved", query.href())

    async def forget_view(self, request: Request) -> Response:
        """Drop a filter's name."""
        person, form = await signed_form(request, self._surfaces)
        await self._actions.forget_view(person, form.text("name"), form.text("shared") == "1")
        return flash.on_to(request, "view-forgotten", "/review")


def _bulk_act(act: str, text: str, code: str, to: str) -> dict[str, object]:
    acts: dict[str, dict[str, object]] = {
        "take": {"assign": {"to": to}},
        "comment": {"comment": {"comment": text}},
        "reject": {"reject": {"reason": code, "comment": text}},
    }
    if act not in acts:
        raise InvalidInput("bad_form", "The act is take, comment or reject.")
    return acts[act]


__all__: Sequence[str] = ("Choice", "Group", "Query", "QueuePages", "groups")
