"""Deliveries on disk: what each receiver is still to be told, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.errors import NotFound
from hallmark.services.review.actions import Letter
from hallmark.services.review.schema import DELIVERIES, HOOKS
from hallmark.store import Database

WINDOW: Final = 500
SHOWN: Final = 200
KEPT_DEAD: Final = 1_000
MAIL: Final = "mail"


class Hook(msgspec.Struct, frozen=True):
    """A receiver as it is kept; `events` empty means all, `by` is who added it (20 bytes)."""

    id: str
    url: str
    events: tuple[str, ...]
    at: int
    by: bytes
    last_status: int = 0
    last_at: int = 0

    def wants(self, event: str) -> bool:
        """Whether it is to be told of an event."""
        return not self.events or event in self.events


class Delivery(msgspec.Struct, frozen=True):
    """One thing to tell one receiver. `next` is when to try (unix ms)."""

    id: int
    receiver: str
    event: str
    item: bytes
    body: bytes
    at: int
    attempts: int
    next: int
    status: int
    reason: str
    dead: int


class DeliveryStore:
    """Receivers and what waits for them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        rows = database.read(lambda c: list(c.execute(sa.select(HOOKS).order_by(HOOKS.c.at))))
        self.hooks: dict[str, Hook] = {row.id: _hook(row) for row in rows}

    async def add(self, hook: Hook) -> None:
        """Add a receiver."""
        row = {**msgspec.structs.asdict(hook), "events": ",".join(hook.events)}
        await self._database.async_write(lambda c: c.execute(HOOKS.insert().values(**row)))
        self.hooks[hook.id] = hook

    async def remove(self, hook: str) -> None:
        """Remove a receiver and what waits for it."""

        def work(connection: Connection) -> None:
            connection.execute(HOOKS.delete().where(HOOKS.c.id == hook))
            connection.execute(DELIVERIES.delete().where(DELIVERIES.c.receiver == hook))

        del self.hooks[hook]
        await self._database.async_write(work)

    async def heads(self, receiver: str) -> tuple[list[Delivery], int]:
        """What may be sent now or later: of each item the oldest delivery, among the oldest 500; and how many
        of these there are in all.
        """
        where = sa.and_(DELIVERIES.c.receiver == receiver, DELIVERIES.c.dead == 0)
        query = sa.select(DELIVERIES).where(where).order_by(DELIVERIES.c.id).limit(WINDOW)
        found = await self._many(query)
        first: dict[bytes, Delivery] = {}
        for delivery in found:
            # What is about no item is in line by itself.
            first.setdefault(delivery.item or delivery.id.to_bytes(8, "big"), delivery)
        return list(first.values()), len(found)

    async def delivered(self, delivery: Delivery, status: int, now: int) -> None:
        """Forget a delivery that arrived."""

        def work(connection: Connection) -> None:
            connection.execute(DELIVERIES.delete().where(DELIVERIES.c.id == delivery.id))
            _seen(connection, delivery.receiver, status, now)

        await self._database.async_write(work)
        self._note(delivery.receiver, status, now)

    async def failed(self, delivery: Delivery, *, now: int, after: int, dead: bool) -> None:
        """Try again after `after` (unix ms), or give up. `delivery` carries the new status and reason."""
        values = {
            "attempts": delivery.attempts,
            "status": delivery.status,
            "reason": delivery.reason[:64],
            "next": after,
            "dead": int(dead),
        }

        def work(connection: Connection) -> None:
            connection.execute(DELIVERIES.update().where(DELIVERIES.c.id == delivery.id).values(**values))
            _seen(connection, delivery.receiver, delivery.status, now)

        await self._database.async_write(work)
        self._note(delivery.receiver, delivery.status, now)

    async def trim(self, receiver: str, backlog: int) -> int:
        """Bound what waits: the oldest beyond `backlog` become dead letters, dead letters beyond
        1,000 go. How
        many were given up.
        """

        def work(connection: Connection) -> int:
            mine = DELIVERIES.c.receiver == receiver
            old = _beyond(connection, sa.and_(mine, DELIVERIES.c.dead == 0), backlog)
            given_up = 0
            if old is not None:
                where = sa.and_(mine, DELIVERIES.c.dead == 0, DELIVERIES.c.id <= old)
                change = DELIVERIES.update().where(where).values(dead=1, reason="backlog_full")
                given_up = connection.execute(change).rowcount
            gone = _beyond(connection, sa.and_(mine, DELIVERIES.c.dead == 1), KEPT_DEAD)
            if gone is not None:
                where = sa.and_(mine, DELIVERIES.c.dead == 1, DELIVERIES.c.id <= gone)
                connection.execute(DELIVERIES.delete().where(where))
            return given_up

        return await self._database.async_write(work)

    async def counts(self) -> dict[str, tuple[int, int]]:
        """Waiting and dead deliveries by receiver."""
        columns = (DELIVERIES.c.receiver, DELIVERIES.c.dead)
        query = sa.select(*columns, sa.func.count()).group_by(*columns)
        found: dict[str, tuple[int, int]] = {}
        for receiver, dead, count in await self._database.async_read(lambda c: list(c.execute(query))):
            waiting, gone = found.get(receiver, (0, 0))
            found[receiver] = (waiting, count) if dead else (count, gone)
        return found

    async def letters(self, receiver: str) -> tuple[Letter, ...]:
        """Deliveries that were given up, newest first."""
        where = sa.and_(DELIVERIES.c.receiver == receiver, DELIVERIES.c.dead == 1)
        query = sa.select(DELIVERIES).where(where).order_by(DELIVERIES.c.id.desc()).limit(SHOWN)
        return tuple(
            Letter(
                str(d.id),
                d.event,
                "0x" + d.item.hex() if d.item else "",
                d.at,
                d.attempts,
                d.status,
                d.reason,
            )
            for d in await self._many(query)
        )

    async def revive(self, receiver: str, delivery: str) -> None:
        """Try a dead letter again, from the first attempt. Raises NotFound `unknown_delivery`."""
        number = int(delivery[:18]) if delivery.isascii() and delivery.isdigit() else -1
        where = sa.and_(DELIVERIES.c.id == number, DELIVERIES.c.receiver == receiver, DELIVERIES.c.dead == 1)
        change = DELIVERIES.update().where(where).values(dead=0, attempts=0, next=0, reason="")
        if await self._database.async_write(lambda c: c.execute(change).rowcount) != 1:
            raise NotFound("unknown_delivery", "There is no such dead letter.")

    async def put(self, rows: Sequence[dict[str, object]]) -> None:
        """Leave something to deliver that belongs to no item."""
        if rows:
            await self._database.async_write(lambda c: c.execute(DELIVERIES.insert(), list(rows)))

    def _note(self, receiver: str, status: int, now: int) -> None:
        hook = self.hooks.get(receiver)
        if hook is not None:
            self.hooks[receiver] = msgspec.structs.replace(hook, last_status=status, last_at=now)

    async def _many(self, query: sa.Select[Any]) -> list[Delivery]:
        rows = await self._database.async_read(lambda c: list(c.execute(query)))
        return [Delivery(**row._mapping) for row in rows]


def _hook(row: sa.Row[Any]) -> Hook:
    return Hook(**{**row._mapping, "events": tuple(name for name in row.events.split(",") if name)})


def _seen(connection: Connection, receiver: str, status: int, now: int) -> None:
    connection.execute(HOOKS.update().where(HOOKS.c.id == receiver).values(last_status=status, last_at=now))


def _beyond(connection: Connection, where: sa.ColumnElement[bool], kept: int) -> int | None:
    """The newest id that is not among the newest `kept`."""
    query = sa.select(DELIVERIES.c.id).where(where).order_by(DELIVERIES.c.id.desc()).offset(kept).limit(1)
    found = connection.scalar(query)
    return None if found is None else int(found)
