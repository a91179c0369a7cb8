"""Dying and coming back: nothing is born twice, nothing is lost between the log, the events and the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import Conflict, Unavailable
from hallmark.services.following.write_behind import HEADS, LEAVES
from hallmark.services.review.intake import READ
from hallmark.services.review.item_changes import load
from hallmark.services.review.rows import Change
from hallmark.services.review.schema import EVENTS, ITEMS
from hallmark.testing.review_desk import ReviewDesk, reviewed_policy


async def counts(office: ReviewDesk) -> tuple[int, int]:
    """How many items and events there are."""
    store = office.desk.office.store
    tables = (ITEMS, EVENTS)
    found = [await store.read(sa.select(sa.func.count()).select_from(table)) for table in tables]
    return int(found[0][0][0]), int(found[1][0][0])


async def test_a_restart_makes_nothing_again(office: ReviewDesk) -> None:
    """After a restart the same items stand with the same events, and new receipts go on."""
    for node in (0, 1):
        await office.answer(node)
    await office.witness()
    before = await counts(office)
    await office.stop()
    again = ReviewDesk(office.net, database=office.database)
    await again.start()
    assert await counts(again) == before
    item = await again.answer()
    await again.witness()
    assert await again.state(item) == "CLEAR"
    await again.stop()


async def test_what_happened_while_the_desk_was_away_is_caught_up(office: ReviewDesk) -> None:
    """A revocation and new receipts that the log took meanwhile count as soon as the desk is back."""
    item = await office.answer()
    await office.witness()
    await office.stop()
    new = await office.answer(1)
    office.net.add(office.net.compromise(office.net.nodes[0], 0))
    again = ReviewDesk(office.net, database=office.database)
    await again.start()
    assert (await again.state(item), await again.state(new)) == ("HOLD", "CLEAR")
    await again.stop()


async def test_births_and_how_far_was_read_are_one_transaction(
    office: ReviewDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A desk that dies while it writes has neither items nor the note of their leaves; the next has both."""
    read = office.desk.office.store.meta(READ)
    item = await office.answer()
    with monkeypatch.context() as patch:
        patch.setattr("hallmark.services.review.item_writer.put_meta", full)
        with pytest.raises(Unavailable):
            await office.witness()
    assert (await office.state(item), office.desk.office.store.meta(READ)) == ("", read)
    await office.stop()
    again = ReviewDesk(office.net, database=office.database)
    await again.start()
    assert (await again.state(item), again.desk.office.store.meta(READ)) == (
        "CLEAR",
        office.net.tree.size - 1,
    )
    before = await counts(again)
    await again.settle()
    assert await counts(again) == before
    await again.stop()


async def test_what_is_there_already_takes_its_place_before_it_counts_as_read(
    office: ReviewDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item that an earlier process made of the tail: the next one learns it when it writes, and notes that
    it read the leaf only with the place. Dying in between leaves what the one after that mends.
    """
    item = await office.answer()
    await office.poll()
    await office.stop()
    again = ReviewDesk(office.net, database=office.database)
    read = again.desk.office.store.meta(READ)
    new = await again.answer(1)
    with monkeypatch.context() as patch:
        patch.setattr(again.desk.office.items, "_place", full)
        with pytest.raises(Unavailable):
            await again.start()
    record = await again.desk.office.store.record(unhex(item))
    assert record is not None
    assert (record.position, again.desk.office.store.meta(READ)) == (-1, read)
    await again.stop()
    last = ReviewDesk(office.net, database=office.database)
    await last.start()
    await last.witness()
    assert (await last.item(item)).row.index == office.net.tree.size - 2
    assert (await last.state(item), await last.state(new)) == ("CLEAR", "CLEAR")
    assert last.desk.office.store.meta(READ) == office.net.tree.size - 1
    await last.stop()


async def test_leaves_index_and_items_of_a_checkpoint_are_one_transaction(office: ReviewDesk) -> None:
    """What follows from a checkpoint is on disk in one commit, and another is not needed."""
    commits: list[object] = []
    await office.watching.flush()
    for node in (0, 1):
        await office.answer(node)
    event.listen(office.database._write_engine, "commit", commits.append)
    await office.watching.follow()
    assert not commits
    office.watching.log.witnessed = office.net.tree.size
    await office.watching.follow()
    await office.desk.intake.step()
    count = sa.select(sa.func.count())
    found = office.database.read(
        lambda c: [c.scalar(count.select_from(table)) for table in (LEAVES, HEADS, ITEMS)]
    )
    assert (len(commits), found[0], found[2]) == (2, office.net.tree.size, 2)
    waits = office.watching.watch
    assert (waits.leaves._writer._waiting, waits.heads._writer._waiting) == ({}, {})


async def test_receipts_of_one_checkpoint_are_one_transaction(
    office: ReviewDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen receipts of a checkpoint are judged once each and written, noted and all, in one go."""
    for node in (0, 1):
        await office.answer(node)
    await office.witness()
    judged, written = [], []
    judge, write = office.desk.office.evaluator.judge, office.desk.office.store.write

    async def counted(work: Callable[[Connection], object]) -> object:
        written.append(work)
        return await write(work)

    monkeypatch.setattr(office.desk.office.store, "write", counted)
    monkeypatch.setattr(
        office.desk.office.evaluator, "judge", lambda *a, **k: judged.append(a) or judge(*a, **k)
    )
    for number in range(16):
        await office.answer(number % 2)
    await office.witness()
    office.net.tick(120_000)
    await office.settle()
    assert (len(judged), len(written)) == (16, 1)


def full(*_: object) -> None:
    """A store without space."""
    raise Unavailable("store_full", "Full.")


async def test_dying_between_a_review_in_the_log_and_its_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """A review that was read twice is noted once."""
    office = ReviewDesk(policies=(reviewed_policy(),))
    await office.start()
    item = await office.answer()
    await office.witness()
    await office.desk.review(office.reviewer(), item, await office.signed(item))
    await office.desk.office.submitting.round()

    with monkeypatch.context() as patch:
        patch.setattr("hallmark.services.review.item_writer.put_meta", full)
        with pytest.raises(Unavailable):
            await office.witness()
    await office.stop()
    again = ReviewDesk(office.net, database=office.database)
    await again.start()
    loaded = await again.desk.office.items.load(unhex(item))
    assert loaded.item.reviews == 1
    await again.stop()


async def test_event_and_row_are_one_transaction(office: ReviewDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the row cannot be written the event is not there either; the act can be made again."""
    item = await office.answer()
    await office.witness()
    store = office.desk.office.store
    before = await counts(office)
    original = store.writing.apply

    def breaks(connection: Connection, changes: list[Change], notes: object) -> None:
        original(connection, changes, notes)
        raise Unavailable("store_full", "Full.")

    with monkeypatch.context() as patch:
        patch.setattr(store.writing, "apply", breaks)
        office.net.add(office.net.compromise(office.net.nodes[0], 0))
        with pytest.raises(Unavailable):
            await office.witness()
    assert await counts(office) == before
    assert await office.state(item) == "CLEAR"
    await office.settle()
    assert await office.state(item) == "HOLD"


async def test_the_row_is_what_the_events_fold_to(office: ReviewDesk) -> None:
    """Every row can be made again from its events alone, and their chain ends at its head."""
    for node in (0, 1):
        await office.answer(node)
    await office.poll()
    await office.witness()
    office.net.add(office.net.compromise(office.net.nodes[1], 0))
    await office.witness()
    store = office.desk.office.store
    for record in await store.records(sa.select(ITEMS)):
        rows = (await store.events([record.id]))[record.id]
        item = load(record, rows).item
        assert (item.state, item.version, item.id) == (record.state, record.version, hex0x(record.id))
        assert record.reason == (item.lacks[0] if item.state == "HOLD" else "")


async def test_pages_behind_the_log_say_so(office: ReviewDesk) -> None:
    """A process that does not read what a quorum covers is behind after seconds, until it has read."""
    await office.answer()
    await office.witness()
    while not office.desk.intake.caught_up:
        await office.desk.intake.step()
    tail = office.watching.watch.tail
    await tail.poll()
    assert office.desk.health.state == "ready"
    office.net.add(office.net.retirement(office.net.nodes[0]))
    office.watching.log.witnessed = office.net.tree.size
    for _ in range(2):
        await tail.poll()
        office.net.tick(5_000)
    health = office.desk.health
    assert (health.state, health.reason) == ("degraded", "behind_log")
    await office.watching.follow()
    await tail.poll()
    assert office.desk.health.reason != "behind_log"


async def test_nothing_is_judged_before_the_desk_has_caught_up(office: ReviewDesk) -> None:
    """A process that has folded less than an earlier one read lets nothing go and is not ready."""
    item = await office.answer()
    await office.witness()
    office.net.add(office.net.compromise(office.net.nodes[0], 0))
    await office.witness()
    await office.stop()
    again = ReviewDesk(office.net, database=office.database)
    assert again.desk.health.state == "starting"
    again.watching.log.witnessed = again.net.tree.size - 1
    await again.watching.follow()
    await again.desk.intake.step()
    assert again.desk.health.reason == "desk_catching_up"
    again.writer = asyncio.create_task(again.desk.office.store.run())
    await again.desk.office.store.rouse(ITEMS.c.id == unhex(item))
    assert await again.desk.office.evaluator.round() == 0
    assert (await again.item(item)).sentence == "not judged: the log does not show it now"
    assert await again.state(item) == "HOLD"
    await again.stop()


async def test_a_database_belongs_to_one_network(office: ReviewDesk) -> None:
    """The desk refuses to mix two networks in one database."""
    await office.stop()
    office.desk.office.store.put_meta("network", 1)
    with pytest.raises(Conflict, match="store_other_network"):
        ReviewDesk(office.net, database=office.database)
