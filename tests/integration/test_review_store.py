"""The desk on a real PostgreSQL: the same rules as on SQLite, with two processes on one database as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import sqlalchemy as sa

from hallmark.core.document import hex0x, unhex
from hallmark.services.review import actions as act
from hallmark.services.review.queue import Queue, parse
from hallmark.services.review.rows import Change, EventRow, Record, value_text
from hallmark.services.review.store import DeskStore
from hallmark.store import Database
from hallmark.testing.network import key
from hallmark.testing.review_desk import ReviewDesk, reviewed_policy

pytestmark = pytest.mark.integration


@pytest.fixture
def url(postgres_url: str) -> str:
    """An empty database."""
    database = Database(postgres_url)
    for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
        database.write(lambda c, text=statement: c.execute(sa.text(text)))
    database.close()
    return postgres_url


@pytest.fixture
async def office(url: str) -> AsyncIterator[ReviewDesk]:
    """A desk on PostgreSQL whose policy asks for one reviewer."""
    database = Database(url)
    made = ReviewDesk(database=database, policies=(reviewed_policy(),))
    await made.start()
    yield made
    await made.stop()
    database.close()


async def test_a_reviewed_item_clears_and_survives_a_restart(office: ReviewDesk, url: str) -> None:
    """Declaration, review, log, CLEAR, webhook row and screens: all there again for the next process."""
    await office.desk.add_webhook(office.operator, act.WebhookRequest("http://127.0.0.1:1/"))
    item = await office.answer()
    await office.witness()
    requester = hex0x(key("customer").address)
    await office.desk.declare(office.reviewer(1), "", item, act.DeclareRequest("payment", 10**30, requester))
    await office.judge(item)
    assert await office.state(item) == "CLEAR"
    await office.watching.flush()
    await office.stop()
    database = Database(url)
    again = ReviewDesk(office.net, database=database)
    await again.start()
    page = await again.desk.item(item, again.reviewer())
    assert (page.row.state, page.row.value, page.row.klass) == ("CLEAR", 10**30, "payment")
    assert (await again.desk.as_seen(item, 0)).holds
    (hook,) = await again.desk.webhooks(again.operator)
    assert hook.waiting >= 2
    figures = await again.desk.figures()
    assert (figures.items, figures.cleared, figures.cleared_without_person) == (1, 1, 0)
    assert (await again.desk.policy("reviewed")).cleared_now == 1
    await again.stop()
    database.close()


REASONS = ("reason=ran:mark_too_old", "state=HOLD&reason=ran:mark_too_old&order=value")


async def test_pages_are_the_same_as_on_sqlite(url: str) -> None:
    """A thousand items, walked page by page in every order, come out as they do on SQLite."""
    walks = []
    for name in (url, "sqlite://"):
        database = Database(name)
        store = DeskStore(database)
        changes = [Change(0, _record(number)) for number in range(1_000)]
        database.write(lambda c, store=store, changes=changes: store.writing.apply(c, changes, ()))
        found = []
        for query in (
            "state=HOLD",
            "order=value",
            "order=newest",
            "state=HOLD&order=due&min_value=500",
            *REASONS,
        ):
            cursor = "-"
            while cursor:
                page = await Queue(store).page(parse(query), cursor.strip("-"), 300, 0)
                found += [record.id for record in page.rows]
                cursor = page.next
        walks.append((found, await Queue(store).facets()))
        database.close()
    assert walks[0] == walks[1]


async def test_two_processes_do_not_overwrite_each_other(url: str) -> None:
    """Of two changes made from one version by two processes exactly one counts, whole."""
    databases = [Database(url), Database(url)]
    stores = [DeskStore(database) for database in databases]
    writers = [asyncio.create_task(store.run()) for store in stores]
    record = msgspec.structs.replace(_record(1), version=1)
    births = [store.commit(Change(0, record, (_event(1),))) for store in stores]
    assert sorted(await asyncio.gather(*births)) == [False, True]
    for version in range(1, 20):
        later = msgspec.structs.replace(record, version=version + 1)
        acts = [store.commit(Change(version, later, (_event(version + 1),))) for store in stores]
        assert sorted(await asyncio.gather(*acts)) == [False, True]
    events = (await stores[0].events([record.id]))[record.id]
    assert [event.number for event in events] == list(range(1, 21))
    for writer in writers:
        writer.cancel()
    for database in databases:
        database.close()


def _event(number: int) -> EventRow:
    return EventRow(number, b"{}")


def _record(number: int) -> Record:
    return Record(
        unhex("0x" + f"{number:064x}"),
        1,
        bytes(32),
        "HOLD" if number % 3 else "CLEAR",
        "witnessed",
        "payment" if number % 2 else "",
        value_text(number * number),
        1_000 + number // 4,
        5_000 - number,
        number,
        bytes(20),
        "digits",
        bytes(32),
        b"",
        b"",
        900,
        reasons="proved:state_too_low\nran:mark_too_old" if number % 3 else "",
    )
