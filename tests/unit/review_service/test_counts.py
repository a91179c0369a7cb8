"""What is counted of items stands in the store with them, and is what counting them all would give."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from hallmark.core.document import hex0x, unhex
from hallmark.services.review import counts
from hallmark.services.review.schema import COUNTS, DECISIONS, EVENTS, ITEMS
from hallmark.testing.query_plans import plans
from hallmark.testing.review_desk import ReviewDesk

QUERIES = ("", "state=HOLD", "order=value", "order=due", "model=digits", "sampled=1", "class=medical")


async def _lived(office: ReviewDesk) -> None:
    """Items that were held, let go, held again and looked at."""
    for node in (0, 1, 0):
        await office.answer(node)
    await office.poll()
    await office.witness()
    office.net.tick(5_000)
    await office.answer(1)
    office.net.add(office.net.compromise(office.net.nodes[0], 0))
    await office.witness()


async def test_counts_are_those_of_the_rows(office: ReviewDesk) -> None:
    """After whatever happened: states, reasons, classes, policies, sums and times to clear."""
    await _lived(office)
    store = office.desk.office.store
    found: Counter[counts.Counted] = Counter()
    for record in await store.records(sa.select(ITEMS)):
        found.update(counts.counted(record))
    expected: dict[str, dict[str, int]] = {}
    for (what, key), count in found.items():
        if count:
            expected.setdefault(what, {})[key] = count
    assert await store.counts() == expected
    assert {"state", "reason", "policy", "sum", "took"} <= set(expected)


async def test_what_is_counted_is_written_with_what_it_counts(
    office: ReviewDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that fails counts nothing."""
    await _lived(office)
    store = office.desk.office.store
    before = await store.counts()

    def fails(*_: object) -> None:
        raise KeyError

    with monkeypatch.context() as patch:
        patch.setattr("hallmark.services.review.counts.add", fails)
        await office.answer()
        with pytest.raises(KeyError):
            await office.witness()
    assert await store.counts() == before


@pytest.mark.parametrize(
    ("ms", "kept"), [(0, 0), (-5, 0), (999, 999), (1_234, 1_230), (98_765_432, 98_700_000)]
)
def test_times_are_kept_to_three_digits(ms: int, kept: int) -> None:
    """So that there are few of them, however long somebody took."""
    assert counts.rounded(ms) == kept


def test_the_nearest_rank_of_times() -> None:
    """As many as there are, in order of time and not of text."""
    took = {"9": 1, "10": 2, "200": 1}
    assert [counts.nearest_rank(took, p) for p in (1, 25, 50, 75, 76, 100)] == [9, 9, 10, 10, 200, 200]
    assert counts.nearest_rank({}, 50) is None


async def test_no_page_of_the_desk_reads_all_items(office: ReviewDesk) -> None:
    """Queue, item, as seen, figures and policies: no table of items is walked or sorted."""
    await _lived(office)
    item = hex0x((await office.desk.office.store.records(sa.select(ITEMS).limit(1)))[0].id)
    with plans(office.database) as found:
        for query in (
            "",
            "state=HOLD",
            "order=value",
            "order=due",
            "model=digits",
            "sampled=1",
            "class=medical",
        ):
            await office.desk.queue(query, "", 1)
        await office.desk.item(item, office.reviewer())
        await office.desk.as_seen(item, 0)
        await office.desk.figures()
        await office.desk.policy("witnessed")
    big = tuple(table.name for table in (ITEMS, EVENTS, DECISIONS))
    walks = [walk for walk in found.walks if any(name in walk for name in big)]
    # A whole list in order is an index that is walked as far as the page goes.
    assert [walk for walk in walks if not (" USING INDEX " in walk and " LIMIT " in walk)] == []
    assert COUNTS.name in " ".join(statement for statement, _ in found.asked)


async def test_marks_are_kept_once(office: ReviewDesk) -> None:
    """Where the screen of a decision has the marks of a row, the row has none of its own on disk."""
    await _lived(office)
    store = office.desk.office.store
    kept = {
        bytes(row.id): row for row in await store.read(sa.select(ITEMS.c.id, ITEMS.c.marks, ITEMS.c.seen))
    }
    for record in await store.records(sa.select(ITEMS)):
        assert record.marks
        assert bool(kept[record.id].seen) is not bool(kept[record.id].marks)
    assert any(row.seen for row in kept.values())


async def test_a_screen_that_was_changed_on_disk_is_told(office: ReviewDesk) -> None:
    """As seen says that it does not hold: the digest stands in the item's chain."""
    item = await office.answer()
    await office.witness()
    store = office.desk.office.store
    record = await store.record(unhex(item))
    assert record is not None
    (row,) = await store.decisions(record.number)
    other = row.screen.replace(b"digits", b"digitz")

    def change(connection: sa.Connection) -> None:
        packed = store.writing.screens.pack(connection, other)
        connection.execute(DECISIONS.update().where(DECISIONS.c.item == record.number).values(screen=packed))

    assert (await office.desk.as_seen(item, 0)).holds
    await store.write(change)
    assert not (await office.desk.as_seen(item, 0)).holds
