"""What the list of models showed: sums by hour, label, artifact and place, kept beside the index.

Nothing of who looked is written down anywhere. Unlike the index, this cannot be made again from the log: it
is what this process did. An hour that is over gets a digest that names the one before (`discovery.exposure`);
rows are kept for `KEPT` hours, digests for ever. What was shown and not yet written when a process is killed
is missing, at most half a second of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.discovery.catalogue import Hit
from hallmark.discovery.exposure import NONE_BEFORE, Exposure, Shown, place_of, table
from hallmark.store import Database, Migration, migrate
from hallmark.store.deferred import Deferred
from hallmark.store.upserts import put
from hallmark.telemetry.logs import get_logger

KEPT: Final = 24 * 90
MOST: Final = 50_000
"""Pairs of label and place that are told apart in one hour; others are counted under no label."""
LISTED: Final = 24 * 7
METADATA: Final = sa.MetaData()


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=False, autoincrement=False)


SHOWN: Final = sa.Table(
    "discovery_shown",
    METADATA,
    _number("period", key=True),
    sa.Column("label", sa.String, primary_key=True),
    sa.Column("artifact", sa.String, primary_key=True),
    _number("place", key=True),
    _number("count"),
    sqlite_with_rowid=False,
)
PERIODS: Final = sa.Table(
    "discovery_periods",
    METADATA,
    _number("period", key=True),
    sa.Column("seed", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
)
"""`digest` is empty while the period is not over."""
Key = tuple[int, str, str, int]


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


MIGRATIONS: Final[tuple[Migration, ...]] = (_create,)


class Batch(msgspec.Struct, frozen=True):
    """Sums to add, and the seeds of their periods."""

    counts: Counter[Key]
    seeds: dict[int, str]


class Period(msgspec.Struct, frozen=True):
    """An hour that something was shown in: its seed and the digest of its table ("" while it is not over)."""

    period: int
    seed: str
    digest: str


class Impressions(Deferred[Batch]):
    """See the module docstring. `clock` gives unix ms; `seed_of` the seed of a period (0x-hex)."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        migrate(database, "discovery", MIGRATIONS)
        self._waiting: Counter[Key] = Counter()
        self._seeds: dict[int, str] = {}
        self._known: set[Key] = set()
        self._period = -1

    def shown(self, period: int, seed: str, hits: Iterable[Hit]) -> None:
        """These stood on a page that was sent."""
        if period != self._period:
            self._period, self._known = period, set()
        for hit in hits:
            key = (period, hit.item.label, hit.item.artifact, place_of(hit.place))
            if key not in self._known and len(self._known) >= MOST:
                key = (period, "", "", 0)
            self._known.add(key)
            self._waiting[key] += 1
            self._seeds[period] = seed
        self._put()

    async def close(self, period: int) -> None:
        """Give every period before this one its digest, and forget what is too old."""
        await self.flush()
        await self._database.async_write(lambda connection: _close(connection, period))

    async def periods(self) -> tuple[Period, ...]:
        """The newest, newest first."""
        await self.flush()
        query = sa.select(PERIODS).order_by(PERIODS.c.period.desc()).limit(LISTED)
        rows = await self._database.async_read(lambda c: list(c.execute(query)))
        return tuple(Period(int(period), seed, digest) for period, seed, digest in rows)

    async def table(self, period: int) -> Exposure | None:
        """A period's table as it stands; None where nothing was shown, or what was is kept no more."""
        await self.flush()
        return await self._database.async_read(lambda connection: _table(connection, period))

    async def rows_since(self, period: int) -> tuple[Shown, ...]:
        """Sums over all periods from this one on."""
        await self.flush()
        total = sa.func.sum(SHOWN.c["count"])
        query = sa.select(SHOWN.c.label, SHOWN.c.artifact, SHOWN.c.place, total)
        query = query.where(SHOWN.c.period >= period)
        query = query.group_by(SHOWN.c.label, SHOWN.c.artifact, SHOWN.c.place)
        rows = await self._database.async_read(lambda c: list(c.execute(query)))
        return tuple(Shown(label, artifact, int(place), int(count)) for label, artifact, place, count in rows)

    def _batch(self) -> Batch | None:
        return Batch(Counter(self._waiting), dict(self._seeds)) if self._waiting else None

    def _write(self, connection: Connection, batch: Batch) -> None:
        names = ("period", "label", "artifact", "place")
        rows = [dict(zip(names, key, strict=True)) | {"count": n} for key, n in sorted(batch.counts.items())]
        put(connection, SHOWN, rows, "count")
        known = set(connection.scalars(sa.select(PERIODS.c.period)))
        fresh = [
            {"period": period, "seed": seed, "digest": ""}
            for period, seed in batch.seeds.items()
            if period not in known
        ]
        put(connection, PERIODS, fresh)
        if fresh:
            _close(connection, max(batch.seeds))

    def _written(self, batch: Batch) -> None:
        self._waiting -= batch.counts
        self._seeds = {period: seed for period, seed in self._seeds.items() if period >= self._period}

    def _not_written(self, error: HallmarkError) -> None:
        get_logger().warning("impressions_not_kept", reason=error.reason)


def _close(connection: Connection, period: int) -> None:
    over = sa.select(PERIODS.c.period).where(PERIODS.c.period < period, PERIODS.c.digest == "")
    for one in list(connection.scalars(over.order_by(PERIODS.c.period))):
        made = _table(connection, int(one))
        if made is not None:
            row = {"period": made.period, "seed": made.seed, "digest": hex0x(made.digest())}
            put(connection, PERIODS, [row])
    connection.execute(SHOWN.delete().where(SHOWN.c.period < period - KEPT))


def _table(connection: Connection, period: int) -> Exposure | None:
    seed = connection.scalar(sa.select(PERIODS.c.seed).where(PERIODS.c.period == period))
    rows = connection.execute(sa.select(SHOWN).where(SHOWN.c.period == period)).all()
    if seed is None or not rows:
        return None
    earlier = sa.select(PERIODS.c.digest).where(PERIODS.c.period < period, PERIODS.c.digest != "")
    before = connection.scalar(earlier.order_by(PERIODS.c.period.desc()).limit(1)) or NONE_BEFORE
    return table(period, seed, before, {(row[1], row[2], int(row[3])): int(row[4]) for row in rows})
