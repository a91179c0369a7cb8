"""`/review/<id>`: one item, the screens of its decisions, and the forms of what people can do."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hallmark.apps.web import flash
from hallmark.apps.web.forms import Form, signed_form
from hallmark.apps.web.render import answer, wants_json
from hallmark.apps.web.review import acts
from hallmark.apps.web.surfaces import Surfaces
from hallmark.apps.web.visitor import visitor_of
from hallmark.core.errors import HallmarkError, NotFound
from hallmark.http.asgi import query_int
from hallmark.review.states import ItemState
from hallmark.services.review import actions
from hallmark.services.review.views import ItemPage, ItemRow, Person

Act = Callable[[Person, str, Form], Awaitable[ItemRow]]
RECEIPT: Final = re.compile(r"0x[0-9a-f]{64}")


class Typed:
    """What was typed into the form of an act that was refused, and what its page showed: the item's state and
    when. Without a form it is empty.
    """

    def __init__(self, act: str = "", form: Form | None = None) -> None:
        self.act, self._form = act, form or Form([])
        self.texts = self._form.texts
        before, seen = self._form.text("seen_state"), self._form.text("seen_at")
        self.before = before if before in list(ItemState) else ""
        self.seen_at = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else 0

    def value(self, act: str, name: str) -> str:
        """What stands in a field of an act's form again; "" for other forms."""
        return self._form.text(name) if act == self.act else ""


def _context(**more: Any) -> dict[str, Any]:
    """What the item's template takes beside the view."""
    return {"done": "", "problem": None, "typed": Typed(), "since": (), "shown_again": False} | more


def _shown(view: ItemPage, person: Person, act: str) -> bool:
    """Whether the item as it is now still has the form of an act."""
    held = person.reviewer and view.row.state == ItemState.HOLD
    return {
        "review": person.reviewer and view.may_review and bool(view.screen),
        "assign": person.reviewer,
        "answer": person.reviewer and view.row.appealed,
        "release": held,
        "reject": held,
    }.get(act, True)


class ItemPages:
    """Pages of one item."""

    def __init__(self, surfaces: Surfaces) -> None:
        self._surfaces = surfaces
        self._desk, self._actions = surfaces.desk, surfaces.actions
        self._acts: Mapping[str, Act] = {
            "review": self._review,
            "assign": self._assign,
            "declare": self._declare,
            "comment": self._comment,
            "appeal": self._appeal,
            "answer": self._answer,
            "release": self._release,
            "reject": self._reject,
        }

    async def item(self, request: Request) -> Response:
        """Everything about one item, as this visitor may see it."""
        visitor = visitor_of(request.scope)
        view = await self._desk.item(request.path_params["item"], visitor.person)
        done = flash.said(request)
        return answer(request, "review/item.html", view, headers=flash.once(done), **_context(done=done))

    async def by_receipt(self, request: Request) -> Response:
        """From a receipt to its item, at an address that can be written down before there is one.

        Raises NotFound `no_item_yet` for a receipt of which the desk knows nothing, `unknown_item` for no id.
        """
        receipt = request.path_params["receipt"].lower()
        try:
            row = (await self._desk.item(receipt, None)).row
        except NotFound:
            if not RECEIPT.fullmatch(receipt):
                raise
            raise NotFound(
                "no_item_yet",
                "The desk has no item for this receipt yet.",
                "An item is born in HOLD once the log shows the receipt; load this again in a moment.",
            ) from None
        return answer(request, "", row) if wants_json(request) else RedirectResponse(f"/review/{row.id}", 303)

    async def as_seen(self, request: Request) -> Response:
        """The screen of a decision, beside the marks of now."""
        number = query_int(request.query_params.get("number"), 0, low=0, high=10**9)
        item = request.path_params["item"]
        view = await self._desk.as_seen(item, number)
        if wants_json(request):
            return answer(request, "review/as-seen.html", view)
        held = (await self._desk.item(item, None)).row.state == "HOLD"
        return answer(request, "review/as-seen.html", view, held=held)

    async def act(self, request: Request) -> Response:
        """One act of a signed-in person; then the item again. Raises NotFound `unknown_path`."""
        name, item = request.path_params["act"], request.path_params["item"]
        if name not in self._acts:
            raise NotFound("unknown_path", "There is no such act.")
        person, form = await signed_form(request, self._surfaces)
        try:
            row = await self._acts[name](person, item, form)
        except HallmarkError as error:
            if wants_json(request) or isinstance(error, NotFound):
                raise
            return await self._refused(request, person, error, Typed(name, form))
        page = f"/review/{item}"
        if wants_json(request):
            return flash.noted(request, answer(request, "", row), name, page)
        return flash.on_to(request, name, page)

    async def _refused(
        self, request: Request, person: Person, error: HallmarkError, typed: Typed
    ) -> Response:
        """The item again, what was typed in its place, why it was refused, and what happened since."""
        view = await self._desk.item(request.path_params["item"], person)
        since = tuple(moment for moment in view.timeline if 0 < typed.seen_at < moment.at)
        context = _context(
            problem=error, typed=typed, since=since, shown_again=_shown(view, person, typed.act)
        )
        headers = {"retry-after": "1"} if error.status == 503 else {}
        return answer(request, "review/item.html", view, status=error.status, headers=headers, **context)

    async def _review(self, person: Person, item: str, form: Form) -> ItemRow:
        return await self._actions.review(person, item, acts.review_of(form))

    async def _assign(self, person: Person, item: str, form: Form) -> ItemRow:
        to = {"me": person.address, "none": ""}.get(form.text("to"), form.text("to"))
        return await self._actions.assign(person, item, acts.asked_for(actions.AssignRequest, {"to": to}))

    async def _declare(self, person: Person, item: str, form: Form) -> ItemRow:
        return await self._actions.declare(person, "", item, acts.declare_of(form))

    async def _comment(self, person: Person, item: str, form: Form) -> ItemRow:
        return await self._actions.comment(person, item, acts.comment_of(form))

    async def _appeal(self, person: Person, item: str, form: Form) -> ItemRow:
        wanted = acts.asked_for(actions.AppealRequest, {"text": form.text("text")})
        return await self._actions.appeal(person, item, wanted)

    async def _answer(self, person: Person, item: str, form: Form) -> ItemRow:
        upheld = form.text("upheld") == "1"
        fields = {"text": form.text("text"), "upheld": upheld, "screen": form.text("screen")}
        return await self._actions.answer_appeal(
            person, item, acts.asked_for(actions.AnswerAppealRequest, fields)
        )

    async def _release(self, person: Person, item: str, form: Form) -> ItemRow:
        return await self._actions.release(person, item, acts.release_of(form, self._surfaces.clock()))

    async def _reject(self, person: Person, item: str, form: Form) -> ItemRow:
        return await self._actions.reject(person, item, acts.reject_of(form))
