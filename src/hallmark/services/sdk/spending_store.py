"""What a home has signed away: every payment of the last days, and the ceilings that they stand under.

One file for all processes of a home, so that a day's limit holds for all of them together and across
restarts: a payment is written down, with the most that it can cost, before it leaves. It counts with what was
really charged once the receipt says so, and with its maximum for as long as nobody knows.

Amounts are text in it: they have 96 bits, and whole numbers of a database or of MessagePack have 64.

Session keys are in it. They are worth less than the wallet's key, which lies beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError
from hallmark.store.raw import RawDatabase, Transaction
from hallmark.store.urls import sqlite_url

DAY_MS: Final = 24 * 3_600_000
KEPT_MS: Final = 90 * DAY_MS


class SpendingRefused(HallmarkError):
    """The client does not sign this: it is over the owner's own limits, or pays somebody not named."""

    status = 402
    retry = False


class KeptCeiling(msgspec.Struct, frozen=True):
    """A signed ceiling: packed SpendingCeiling, the payer's signature, the session key's secret, how much may
    be spent under it (atomic units, as text), and when it was signed (unix ms).
    """

    ceiling: bytes
    signature: bytes
    session: bytes
    room: str
    at: int


class Spent(msgspec.Struct, frozen=True):
    """One payment: when (unix ms), to whom (0x-hex), for which model, the most that was signed, what was
    charged (None: not known), the receipt's id (empty: none).
    """

    at: int
    payee: str
    model: str
    maximum: int
    charged: int | None
    receipt: str


def _create(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE spends (id BLOB PRIMARY KEY, at INTEGER NOT NULL, asset TEXT NOT NULL, "
        "payee TEXT NOT NULL, model TEXT NOT NULL, maximum INTEGER NOT NULL, charged INTEGER, "
        "receipt TEXT NOT NULL)"
    )
    transaction.execute("CREATE INDEX spends_at ON spends (at)")
    transaction.execute(
        "CREATE TABLE ceilings (name TEXT PRIMARY KEY, nonce INTEGER NOT NULL, data BLOB NOT NULL)"
    )


def _widen(transaction: Transaction) -> None:
    """Version 2: amounts as text."""
    transaction.execute("ALTER TABLE spends RENAME TO narrow_spends")
    transaction.execute(
        "CREATE TABLE spends (id BLOB PRIMARY KEY, at INTEGER NOT NULL, asset TEXT NOT NULL, "
        "payee TEXT NOT NULL, model TEXT NOT NULL, maximum TEXT NOT NULL, charged TEXT, "
        "receipt TEXT NOT NULL)"
    )
    transaction.execute(
        "INSERT INTO spends SELECT id, at, asset, payee, model, CAST(maximum AS TEXT), "
        "CAST(charged AS TEXT), receipt FROM narrow_spends"
    )
    transaction.execute("DROP TABLE narrow_spends")
    transaction.execute("CREATE INDEX spends_at ON spends (at)")
    for name, data in transaction.fetch("SELECT name, data FROM ceilings"):
        kept = msgspec.msgpack.decode(data)
        kept["room"] = str(kept["room"])
        transaction.execute(
            "UPDATE ceilings SET data = ? WHERE name = ?", (msgspec.msgpack.encode(kept), name)
        )


MIGRATIONS: Final = (_create, _widen)


class SpendingStore:
    """See the module docstring. Times are unix ms, amounts atomic units of `asset` (any name for it)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = RawDatabase(sqlite_url(folder / "spending.db"))
        self._database.migrate("spending", MIGRATIONS)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    async def reserve(self, name: bytes, asset: str, spent: Spent, *, per_day: int) -> None:
        """Write a payment down before it leaves. Raises SpendingRefused `over_max_per_day`."""

        def work(transaction: Transaction) -> None:
            before = _since(transaction, asset, spent.at - DAY_MS)
            if before + spent.maximum > per_day:
                raise SpendingRefused(
                    "over_max_per_day",
                    f"This request could cost {spent.maximum} atomic units, and of the day's limit "
                    f"{max(0, per_day - before)} are left.",
                    "Wait, raise max_per_day, or ask for fewer tokens.",
                )
            transaction.execute("DELETE FROM spends WHERE at < ?", (spent.at - KEPT_MS,))
            transaction.execute(
                "INSERT INTO spends VALUES (?, ?, ?, ?, ?, ?, NULL, '')",
                (name, spent.at, asset, spent.payee, spent.model, str(spent.maximum)),
            )

        await self._database.async_write(work)

    async def settle(self, name: bytes, charged: int, receipt: str = "") -> None:
        """What a payment was charged is known."""
        query = "UPDATE spends SET charged = ?, receipt = ? WHERE id = ?"
        await self._database.async_write(lambda t: t.execute(query, (str(charged), receipt, name)))

    async def since(self, asset: str, at: int, payee: str = "") -> int:
        """What payments since `at` come to, to one payee or to all."""
        return await self._database.async_read(lambda t: _since(t, asset, at, payee))

    async def newest(self, most: int) -> tuple[Spent, ...]:
        """The last payments, newest first."""
        query = "SELECT at, payee, model, maximum, charged, receipt FROM spends ORDER BY at DESC LIMIT ?"
        rows = await self._database.async_read(lambda t: t.fetch(query, (most,)))
        return tuple(
            Spent(at, payee, model, int(maximum), None if charged is None else int(charged), receipt)
            for at, payee, model, maximum, charged, receipt in rows
        )

    async def ceiling(self, name: str) -> KeptCeiling | None:
        """The newest ceiling of this name."""
        query = "SELECT data FROM ceilings WHERE name = ?"
        rows = await self._database.async_read(lambda t: t.fetch(query, (name,)))
        return msgspec.msgpack.decode(rows[0][0], type=KeptCeiling) if rows else None

    async def drop_ceiling(self, name: str) -> None:
        """Forget the ceiling of this name."""
        query = "DELETE FROM ceilings WHERE name = ?"
        await self._database.async_write(lambda t: t.execute(query, (name,)))

    async def keep_ceiling(self, name: str, nonce: int, made: KeptCeiling) -> KeptCeiling:
        """The newest ceiling of this name after `made`, with this nonce, was offered: another process may
        have signed one with the same nonce first, and then that one counts.
        """

        def work(transaction: Transaction) -> KeptCeiling:
            rows = transaction.fetch("SELECT nonce, data FROM ceilings WHERE name = ?", (name,))
            if rows and rows[0][0] >= nonce:
                return msgspec.msgpack.decode(rows[0][1], type=KeptCeiling)
            transaction.execute("DELETE FROM ceilings WHERE name = ?", (name,))
            data = msgspec.msgpack.encode(made)
            transaction.execute("INSERT INTO ceilings VALUES (?, ?, ?)", (name, nonce, data))
            return made

        return await self._database.async_write(work)


def _since(transaction: Transaction, asset: str, at: int, payee: str = "") -> int:
    query = "SELECT COALESCE(charged, maximum) FROM spends WHERE asset = ? AND at > ?"
    parameters: tuple[str | int, ...] = (asset, at)
    if payee:
        query, parameters = f"{query} AND payee = ?", (*parameters, payee)
    return sum(int(row[0]) for row in transaction.fetch(query, parameters))
