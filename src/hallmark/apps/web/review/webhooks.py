"""`/review/webhooks`: who is told when an item or a policy changes."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hallmark.apps.web import flash
from hallmark.apps.web.forms import signed_form
from hallmark.apps.web.render import answer
from hallmark.apps.web.review.acts import asked_for
from hallmark.apps.web.surfaces import Surfaces
from hallmark.apps.web.visitor import visitor_of
from hallmark.core.errors import Unauthorized
from hallmark.services.review import actions
from hallmark.services.review.notices import EVENTS
from hallmark.services.review.views import Person


class WebhooksPage(msgspec.Struct, frozen=True):
    """Every receiver, and what could not be delivered to each (receiver id to letters)."""

    receivers: tuple[actions.WebhookRow, ...]
    dead: dict[str, tuple[actions.Letter, ...]]


class WebhookPages:
    """The page and its three acts."""

    def __init__(self, surfaces: Surfaces) -> None:
        self._surfaces, self._actions = surfaces, surfaces.actions

    async def page(self, request: Request) -> Response:
        """The receivers. Raises Unauthorized `not_signed_in`, `operators_only`."""
        person = visitor_of(request.scope).person
        if person is None:
            raise Unauthorized("not_signed_in", "Nobody is signed in.", "Sign in with your key.")
        return await self._shown(request, person, None)

    async def add(self, request: Request) -> Response:
        """A new receiver; its secret stands in this answer alone."""
        person, form = await signed_form(request, self._surfaces)
        wanted = asked_for(actions.WebhookRequest, {"url": form.text("url"), "events": form.all("event")})
        return await self._shown(request, person, await self._actions.add_webhook(person, wanted))

    async def remove(self, request: Request) -> Response:
        """Remove a receiver."""
        person, form = await signed_form(request, self._surfaces)
        await self._actions.remove_webhook(person, form.text("webhook"))
        return flash.on_to(request, "webhook-removed", "/review/webhooks")

    async def redeliver(self, request: Request) -> Response:
        """Try a dead letter again."""
        person, form = await signed_form(request, self._surfaces)
        await self._actions.redeliver(person, form.text("webhook"), form.text("delivery"))
        return flash.on_to(request, "redelivered", "/review/webhooks")

    async def _shown(self, request: Request, person: Person, made: actions.WebhookRow | None) -> Response:
        receivers = await self._actions.webhooks(person)
        dead = {row.id: await self._actions.dead_letters(person, row.id) for row in receivers if row.dead}
        done = flash.said(request)
        view = WebhooksPage(receivers, dead)
        return answer(
            request,
            "review/webhooks.html",
            view,
            headers=flash.once(done),
            made=made,
            events=EVENTS,
            done=done,
        )
