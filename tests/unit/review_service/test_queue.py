"""The queue: filters, orders, keyset pages, and query plans over ten thousand items."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest
import sqlalchemy as sa

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256
from hallmark.services.review import actions as act
from hallmark.services.review.queue import Filter, Queue, page_query, parse, write_cursor
from hallmark.services.review.rows import NEVER, Change, EventRow, Record, value_text
from hallmark.services.review.schema import ITEMS
from hallmark.services.review.store import DeskStore
from hallmark.store import Database
from hallmark.testing.query_plans import plans
from hallmark.testing.review_desk import ReviewDesk

MANY = 10_000
RARE = "item:appeal_open"
REASONS = ("proved:state_too_low", "ran:assurance_not_allowed", "reviewed:too_few_reviewers")


def record(number: int) -> Record:
    """One of many items, all different."""
    held = number % 4 != 0
    return Record(
        sha256(number.to_bytes(4, "big")),
        1,
        bytes(32),
        "HOLD" if held else "CLEAR",
        "witnessed",
        ("", "payment", "medical")[number % 3],
        value_text(number * 10**20),
        1_000_000 + number // 2,
        2_000_000 + number if number % 2 else NEVER,
        number,
        sha256(b"node", bytes([number % 7]))[:20],
        "digits",
        bytes(32),
        b"",
        b"\1" * 20 if number % 50 == 0 else b"",
        999_999,
        sampled=int(number % 20 == 0),
        reasons="\n".join(reasons(number)),
    )


def reasons(number: int) -> tuple[str, ...]:
    """Why one of many items is held: one of three reasons, every fifth another as well, few a rare one."""
    if number % 4 == 0:
        return ()
    others = (REASONS[(number + 1) % 3],) if number % 5 == 0 else ()
    return (REASONS[number % 3], *others, *((RARE,) if number % 999 == 1 else ()))


@pytest.fixture(scope="module")
def database() -> Database:
    """A store with ten thousand items, written at once."""
    made = Database("sqlite://")
    store = DeskStore(made)
    changes = [Change(0, record(number)) for number in range(MANY)]
    made.write(lambda c: store.writing.apply(c, changes, ()))
    return made


@pytest.mark.parametrize(
    "query",
    [
        "state=HOLD",
        "state=HOLD&order=value",
        "state=HOLD&order=due",
        "state=HOLD&order=newest",
        f"state=HOLD&reason={REASONS[0]}",
        f"reason={RARE}",
        f"state=HOLD&reason={RARE}&order=newest",
        f"state=HOLD&reason={REASONS[1]}&order=value",
        f"state=HOLD&reason={REASONS[1]}&order=due",
        "state=HOLD&class=payment",
        "state=HOLD&overdue=1&order=due",
        "sampled=1",
        "node=0x" + sha256(b"node", b"\0")[:20].hex(),
        "assigned=0x" + "01" * 20,
        "node=0x" + sha256(b"node", b"\0")[:20].hex() + "&order=value",
        "model=digits",
        "model=digits&order=due",
        "state=HOLD&model=digits&order=value",
        "class=payment",
        "state=HOLD&class=payment&order=newest",
        "requester=0x" + "02" * 20,
        "appealed=1",
        "order=value",
        "order=due",
        "order=newest",
        "",
    ],
)
def test_every_queue_query_walks_an_index_in_order(database: Database, query: str) -> None:
    """No page of any usual filter scans the table or sorts it, first page and later ones alike."""
    found = parse(query)
    cursor = ""
    for _ in range(2):
        statement = page_query(found, cursor, 50, 2_005_000)
        compiled = statement.compile(compile_kwargs={"literal_binds": False}, dialect=_dialect(database))
        text = f"EXPLAIN QUERY PLAN {compiled}"
        parameters = tuple(compiled.params[name] for name in compiled.positiontup)
        plan = database.read(lambda c, t=text, p=parameters: [r[3] for r in c.exec_driver_sql(t, p)])
        assert not any(step.startswith("SCAN") and " INDEX " not in step for step in plan), plan
        assert not any("TEMP B-TREE" in step for step in plan), plan
        rows = database.read(lambda c, s=statement: list(c.execute(s)))
        cursor = _cursor(found, rows[49]) if len(rows) > 50 else ""


@pytest.mark.parametrize(
    "query",
    [
        "state=HOLD",
        "state=HOLD&order=value",
        "order=newest",
        "class=payment",
        f"reason={REASONS[2]}",
        f"reason={REASONS[2]}&order=newest",
        f"reason={RARE}&order=value",
    ],
)
async def test_pages_hold_every_item_once_and_in_order(database: Database, query: str) -> None:
    """Walking all pages gives every item of the filter exactly once, in its order."""
    queue = Queue(DeskStore(database))
    found = parse(query)
    cursor, seen = "", list[Record]()
    while True:
        page = await queue.page(found, cursor, 500, 0)
        seen += page.rows
        cursor = page.next
        if not cursor:
            break
    expected = [r for r in map(record, range(MANY)) if "HOLD" not in query or r.state == "HOLD"]
    reason = dict(found.members).get("reason")
    expected = [r for r in expected if reason is None or reason in r.held_for]
    expected = [r for r in expected if "class" not in query or r.klass == "payment"]
    assert len(seen) == len({r.id for r in seen}) == len(expected) == page.total
    keys = [(r.value, r.number) if "value" in query else (r.born, r.number) for r in seen]
    assert keys == sorted(keys, reverse="value" in query or "newest" in query)


async def test_a_rare_reason_is_sorted_instead_of_looked_for_among_all(database: Database) -> None:
    """By value as well it costs as many items as it holds."""
    found = parse(f"state=HOLD&reason={RARE}&order=value")
    with plans(database) as asked:
        page = await Queue(DeskStore(database)).page(found, "", 50, 0)
    assert {record.number for record in page.rows}
    assert page.total == len(page.rows)
    (query,) = (pair for pair in asked.asked if "IN (SELECT review_holds.item" in pair[0])
    assert any("review_items USING INTEGER PRIMARY KEY" in step for step in asked._plan(*query))


async def test_facets_count_what_is_held(database: Database) -> None:
    """States and classes add up; a reason counts every item that it holds, whatever else holds it."""
    facets = await Queue(DeskStore(database)).facets()
    states = {count.name: count.count for count in facets.states}
    assert states == {"HOLD": 7_500, "CLEAR": 2_500, "FINAL": 0, "REJECTED": 0}
    assert sum(c.count for c in facets.classes) == 7_500
    counted = Counter(code for number in range(MANY) for code in reasons(number))
    assert {count.name: count.count for count in facets.reasons} == counted
    assert sum(counted.values()) > 7_500


@pytest.mark.parametrize(
    "query",
    [
        "state=DONE",
        "colour=red",
        "state=HOLD&state=CLEAR",
        "order=name",
        "min_value=-1",
        "min_value=1e9",
        "overdue=yes",
        "node=0x12",
        "assigned=somebody",
        "reason=" + "x" * 2_000,
    ],
)
def test_filters_that_mean_nothing_are_refused(query: str) -> None:
    """Unknown members, values and orders are refused, not ignored."""
    with pytest.raises(InvalidInput, match="bad_query"):
        parse(query)


@pytest.mark.parametrize(
    "cursor", ["x", "!!", "WzFd", "WyJhIiwgImIiXQ", "WzEsICJ6eiJd", "WyIxIiwgMV0", "WzFlMzAsIDFd"]
)
async def test_cursors_that_are_not_ours_are_refused(database: Database, cursor: str) -> None:
    """A cursor is read strictly."""
    with pytest.raises(InvalidInput, match="bad_query"):
        await Queue(DeskStore(database)).page(parse(""), cursor, 10, 0)


def test_a_filter_has_one_form() -> None:
    """The same filter in any order of members has the same text, and reads back as itself."""
    text = parse("order=value&overdue=1&state=HOLD").text
    assert text == "state=HOLD&overdue=1&order=value"
    assert parse(text).text == text
    assert parse("?order=age") == Filter(())


async def test_the_queues_page(office: ReviewDesk) -> None:
    """Rows carry their seven marks, reasons have words, saved views are one's own and everybody's."""
    for node in (0, 1):
        await office.answer(node)
    await office.poll()
    await office.desk.save_view(office.reviewer(), act.SaveViewRequest("mine", "state=HOLD"))
    await office.desk.save_view(office.operator, act.SaveViewRequest("all", "order=value", True))
    page = await office.desk.queue("state=HOLD", "", 1, office.reviewer())
    assert (page.total, len(page.rows), bool(page.next)) == (2, 1, True)
    assert len(page.rows[0].marks) == 7
    assert {count.sentence: count.count for count in page.reasons} == {
        f"{question}: state too low": 2 for question in ("model", "proved", "ran", "route")
    }
    (row,) = page.rows
    assert (row.reason, set(row.reasons)) == ("ran:state_too_low", {count.name for count in page.reasons})
    for count in page.reasons:
        assert (await office.desk.queue(f"state=HOLD&reason={count.name}", "", 5)).total == 2
    assert [view.name for view in page.views] == ["all", "mine"]
    assert [view.name for view in (await office.desk.queue("", "", 1)).views] == ["all"]
    await office.desk.forget_view(office.reviewer(), "mine")
    assert [v.name for v in (await office.desk.queue("", "", 1, office.reviewer())).views] == ["all"]


async def test_a_change_from_an_older_version_is_dropped_whole() -> None:
    """Two changes from the same version: the first counts, nothing of the second is written."""
    store = DeskStore(Database("sqlite://"))
    writer = asyncio.create_task(store.run())
    born = record(1)
    rows = tuple(EventRow(n, b"{}") for n in (1, 2, 3))
    done = await store.commit_all(
        [
            Change(0, msgspec.structs.replace(born, version=1), rows[:1]),
            Change(1, msgspec.structs.replace(born, version=2, state="CLEAR"), rows[1:2]),
            Change(1, msgspec.structs.replace(born, version=2, state="FINAL"), rows[2:]),
        ]
    )
    assert done == [True, True, False]
    assert (await store.record(born.id)).state == "CLEAR"
    assert [event.number for event in (await store.events([born.id]))[born.id]] == [1, 2]
    writer.cancel()


async def test_a_call_that_comes_while_an_item_is_judged_is_not_lost() -> None:
    """An item that is roused between reading and writing is looked at again."""
    store = DeskStore(Database("sqlite://"))
    writer = asyncio.create_task(store.run())
    born = msgspec.structs.replace(record(1), wake=0)
    await store.commit(Change(0, born, (EventRow(1, b"{}"),)))
    seen = await store.record(born.id)
    await store.rouse(ITEMS.c.id == born.id)
    await store.commit(Change(1, msgspec.structs.replace(seen, version=2, wake=None)))
    assert (await store.record(born.id)).wake == 0
    again = await store.record(born.id)
    await store.commit(Change(2, msgspec.structs.replace(again, version=3, wake=None)))
    assert (await store.record(born.id)).wake is None
    writer.cancel()


def _dialect(database: Database) -> sa.Dialect:
    return database.read(lambda c: c.dialect)


def _cursor(found: Filter, row: sa.Row[object]) -> str:
    return write_cursor(Record(**row._mapping), found.order)
