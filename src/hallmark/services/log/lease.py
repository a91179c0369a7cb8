"""The lease that makes one process the log, and the fence that keeps a former one out.

    log_lease   name | holder | epoch | expires (unix ms)

Clocks decide only *when* a standby takes over. Safety rests on the epoch: it rises with every change of
hands, and each append checks it in its own transaction, so a holder that overslept cannot write.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import Conflict
from hallmark.store.raw import RawDatabase, Step, Transaction

HELD: Final = "SELECT holder, epoch, expires FROM log_lease WHERE name = 'sequencer'"
TAKE: Final = (
    "INSERT INTO log_lease (name, holder, epoch, expires) VALUES ('sequencer', ?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET "
    "holder = excluded.holder, epoch = excluded.epoch, expires = excluded.expires"
)
EXTEND: Final = "UPDATE log_lease SET expires = ? WHERE name = 'sequencer' AND epoch = ?"


def _create(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE log_lease (name TEXT PRIMARY KEY, holder TEXT NOT NULL, epoch INTEGER NOT NULL, "
        "expires INTEGER NOT NULL)"
    )


class Lease(msgspec.Struct, frozen=True):
    """A lease that was ours when it was taken."""

    holder: str
    epoch: int


class LeaseKeeper:
    """Takes, renews and fences the lease of one database for `holder`; `ttl` in ms."""

    def __init__(self, database: RawDatabase, holder: str, ttl: int) -> None:
        database.migrate("log-lease", (_create,))
        self._database = database
        self._holder = holder
        self._ttl = ttl

    async def take(self, now: int) -> Lease | None:
        """Take the lease at `now` (unix ms) if it is free, expired, or this holder's from an earlier life."""

        def work(transaction: Transaction) -> Lease | None:
            transaction.lock("log_lease")  # also against one who takes it for the first time
            rows = transaction.fetch(HELD)
            holder, epoch, expires = rows[0] if rows else ("", 0, 0)
            if rows and holder != self._holder and expires > now:
                return None
            transaction.execute(TAKE, (self._holder, epoch + 1, now + self._ttl))
            return Lease(self._holder, epoch + 1)

        return await self._database.async_write(work)

    async def renew(self, lease: Lease, now: int) -> None:
        """Extend the lease. Raises Conflict `lease_lost`."""

        def work(transaction: Transaction) -> None:
            if transaction.execute(EXTEND, (now + self._ttl, lease.epoch)) == 0:
                raise _lost()

        await self._database.async_write(work, brief=True)

    async def release(self, lease: Lease) -> None:
        """Let a standby take over at once."""
        await self._database.async_write(lambda t: t.execute(EXTEND, (0, lease.epoch)))


def fence(lease: Lease) -> Step:
    """A step of a transaction that raises Conflict `lease_lost` unless `lease` still holds."""

    def check(transaction: Transaction) -> None:
        held = transaction.fetch(transaction.locking(HELD))
        if not held or held[0][1] != lease.epoch:
            raise _lost()

    return check


def _lost() -> Conflict:
    return Conflict("lease_lost", "Another process is the log now.")
