"""Saved views and webhook receivers."""

from __future__ import annotations

import sqlalchemy as sa

from hallmark.core.document import unhex
from hallmark.core.errors import Conflict, NotFound
from hallmark.services.review import actions as act
from hallmark.services.review.context import DeskPart
from hallmark.services.review.queue import parse
from hallmark.services.review.schema import VIEWS
from hallmark.services.review.views import Person, SavedView

MOST_VIEWS = 200


class SavedViews(DeskPart):
    """What is kept for people beside items."""

    async def save_view(self, person: Person, request: act.SaveViewRequest) -> SavedView:
        """Keep a filter under a name, in place of an older one. Raises InvalidInput `bad_query`, Conflict
        `too_many_views`.
        """
        owner = self._owner(person, request.shared)
        text = parse(request.query).text
        mine = VIEWS.c.owner == owner

        def work(connection: sa.Connection) -> None:
            connection.execute(VIEWS.delete().where(mine, VIEWS.c.name == request.name))
            count = connection.scalar(sa.select(sa.func.count()).select_from(VIEWS).where(mine))
            if (count or 0) >= MOST_VIEWS:
                raise Conflict("too_many_views", f"There are at most {MOST_VIEWS} saved views.")
            connection.execute(VIEWS.insert().values(owner=owner, name=request.name, query=text))

        await self._office.store.write(work)
        return SavedView(request.name, text, person.address if owner else "")

    async def forget_view(self, person: Person, name: str, shared: bool = False) -> None:
        """Drop a filter. Raises NotFound `unknown_view`."""
        where = sa.and_(VIEWS.c.owner == self._owner(person, shared), VIEWS.c.name == name)
        if not await self._office.store.write(lambda c: c.execute(VIEWS.delete().where(where)).rowcount):
            raise NotFound("unknown_view", "There is no such saved view.")

    async def webhooks(self, person: Person) -> tuple[act.WebhookRow, ...]:
        """Every receiver."""
        self._office.people.require_operator(person)
        return await self._office.webhooks.rows()

    async def add_webhook(self, person: Person, request: act.WebhookRequest) -> act.WebhookRow:
        """Add a receiver; the secret is in this answer alone."""
        self._office.people.require_operator(person)
        return await self._office.webhooks.add(request, unhex(person.address))

    async def remove_webhook(self, person: Person, webhook: str) -> None:
        """Remove a receiver and what waits for it."""
        self._office.people.require_operator(person)
        await self._office.webhooks.remove(webhook)

    async def dead_letters(self, person: Person, webhook: str) -> tuple[act.Letter, ...]:
        """Deliveries that were given up, newest first."""
        self._office.people.require_operator(person)
        return await self._office.webhooks.letters(webhook)

    async def redeliver(self, person: Person, webhook: str, delivery: str) -> None:
        """Try a dead letter again."""
        self._office.people.require_operator(person)
        await self._office.webhooks.redeliver(webhook, delivery)

    def _owner(self, person: Person, shared: bool) -> bytes:
        if shared:
            self._office.people.require_operator(person)
        return b"" if shared else unhex(person.address)
