"""What may wait goes along with somebody's transaction, wholly or not at all, and is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from hallmark.core.errors import Conflict, HallmarkError, Unavailable
from hallmark.store import Database, deferred, sqlite_url
from hallmark.store.database import beneath
from hallmark.store.deferred import Deferred

NUMBERS = sa.Table("numbers", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True))


class Numbers(Deferred[list[int]]):
    """Numbers on their way; `breaks` makes writing them fail."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.waiting: list[int] = []
        self.breaks = False

    def put(self, number: int) -> None:
        """Write a number soon."""
        self.waiting.append(number)
        self._put()

    def _batch(self) -> list[int] | None:
        return self.waiting[:3] or None

    def _write(self, connection: Connection, batch: list[int]) -> None:
        beneath(connection).executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in batch])
        if self.breaks:
            raise ValueError("broken")

    def _written(self, batch: list[int]) -> None:
        del self.waiting[: len(batch)]

    def _not_written(self, error: HallmarkError) -> None:
        raise AssertionError(error)


@pytest.fixture(params=["file", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with a table of numbers."""
    made = Database(sqlite_url(tmp_path / "store.db") if request.param == "file" else "sqlite://")
    made.write(lambda c: NUMBERS.create(c))
    yield made
    made.close()


def add(number: int) -> Any:
    """Work that writes a number."""
    return lambda c: c.execute(NUMBERS.insert().values(number=number)) and number


def kept(database: Database) -> list[int]:
    """The numbers that are there."""
    return database.read(lambda c: sorted(c.scalars(sa.select(NUMBERS.c.number))))


def commits(database: Database) -> list[int]:
    """Grows with every commit of a writing transaction."""
    found: list[int] = []
    event.listen(database._write_engine, "commit", lambda _: found.append(1))
    return found


async def test_what_waits_goes_along(database: Database) -> None:
    """Somebody's transaction takes the numbers of two with it; nothing waits then."""
    one, two = Numbers(database), Numbers(database)
    one.put(1)
    two.put(2)
    counted = commits(database)
    assert await database.async_write(add(3)) == 3
    await one.flush()
    await two.flush()
    assert (len(counted), kept(database), one.waiting, two.waiting) == (1, [1, 2, 3], [], [])


async def test_a_read_takes_nothing_along(database: Database) -> None:
    """Who only reads writes nothing for others."""
    waits = Numbers(database)
    waits.put(1)
    assert await database.async_read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(NUMBERS))) == 0
    assert waits.waiting == [1]


async def test_who_raises_takes_nothing_along(database: Database) -> None:
    """Work that raises rolls everything back; what waited still waits and is written later."""
    waits = Numbers(database)
    waits.put(1)

    def refuses(connection: Connection) -> None:
        add(2)(connection)
        raise Conflict("taken", "Taken.")

    with pytest.raises(Conflict):
        await database.async_write(refuses)
    assert (kept(database), waits.waiting) == ([], [1])
    await waits.flush()
    assert (kept(database), waits.waiting) == ([1], [])


async def test_a_broken_companion_spoils_nothing(database: Database) -> None:
    """Where what goes along cannot be written, the transaction itself is; the companion alone raises."""
    waits = Numbers(database)
    waits.breaks = True
    waits.put(1)
    assert await database.async_write(add(2)) == 2
    assert (kept(database), waits.waiting) == ([2], [1])
    with pytest.raises(ValueError, match="broken"):
        await waits.flush()
    waits.breaks = False
    await waits.flush()
    assert kept(database) == [1, 2]


async def test_a_broken_constraint_beneath_is_that(database: Database) -> None:
    """What the driver says of a constraint is said as SQLAlchemy says it."""
    waits = Numbers(database)
    waits.waiting = [1, 1]
    with pytest.raises(sa.exc.IntegrityError):
        await waits.flush()
    assert (kept(database), waits.waiting) == ([], [1, 1])


async def test_a_full_disk_loses_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is written, and nothing is tried a second time at once."""
    waits, tries = Numbers(database), list[int]()
    waits.put(1)

    def full(_: object) -> None:
        tries.append(1)
        raise Unavailable("store_full", "Full.")

    with monkeypatch.context() as patch:
        patch.setattr(database, "_commit", full)
        with pytest.raises(Unavailable):
            await database.async_write(add(2))
        assert (len(tries), waits.waiting) == (1, [1])
    await database.async_write(add(2))
    assert kept(database) == [1, 2]


async def test_one_batch_at_a_time_in_order(database: Database) -> None:
    """What is put while a batch is under way is written behind it; whoever flushes waits for both."""
    waits = Numbers(database)
    for number in range(4):
        waits.put(number)
    under_way = asyncio.ensure_future(database.async_write(add(99)))
    await asyncio.sleep(0)
    waits.put(4)
    assert waits.take() is None
    await waits.flush()
    await under_way
    assert (kept(database), waits.waiting) == ([0, 1, 2, 3, 4, 99], [])


async def test_who_is_cancelled_still_ends_it(database: Database) -> None:
    """A transaction that was begun is not cancelled: what went along does not wait for ever."""
    waits = Numbers(database)
    waits.put(1)
    writing = asyncio.ensure_future(database.async_write(add(2)))
    await asyncio.sleep(0)
    writing.cancel()
    await waits.flush()
    assert kept(database) == [1, 2]


async def test_by_itself_after_a_moment(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody writes it is written by itself; what waits when the service ends is written first."""
    monkeypatch.setattr(deferred, "LINGER_S", 0)
    waits, written = Numbers(database), asyncio.Event()
    done = waits._written
    waits._written = lambda batch: (done(batch), written.set())[0]  # type: ignore[method-assign]
    running = asyncio.ensure_future(waits.run())
    waits.put(1)
    await written.wait()
    assert kept(database) == [1]
    monkeypatch.setattr(deferred, "LINGER_S", 60)
    waits.put(2)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert kept(database) == [1, 2]


async def test_after_the_end_nothing_hangs(database: Database) -> None:
    """A database that was closed refuses, and what waits can be asked for again."""
    waits = Numbers(database)
    waits.put(1)
    database.close()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await waits.flush()
