"""What was settled, or is about to be: one row for each authorization, written before anything is sent.

    queued   asked for; nothing was sent
    sent     a transaction is under way; its bytes are here, so that they can go out again
    settled  mined deep enough (or nothing had to be sent)
    failed   mined, and refused by the contract; or another transaction took its place

An authorization that settled or failed keeps its row, however often it is asked for. `queued` rows that a
start finds were never sent: they are taken out, so that nobody is charged whom nobody waits for.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

from hallmark.store.raw import RawDatabase, Row, Transaction

DAY_MS: Final = 86_400_000


class State(enum.StrEnum):
    """How far a settlement came; see the module docstring."""

    QUEUED = "queued"
    SENT = "sent"
    SETTLED = "settled"
    FAILED = "failed"


class Settlement(msgspec.Struct, frozen=True):
    """One row. `id` is 32 bytes: of the authorization, or of the call. `expires` is when the authorization
    can no longer be presented, unix ms, 0 for never. `hashes` are of every transaction that was tried; the
    last is the newest, or the one that was mined. `told` is 1 once somebody was told that it settled.
    """

    id: bytes
    scheme: str
    kind: str
    payer: bytes
    payee: bytes
    token: bytes
    amount: int
    created: int
    expires: int
    contract: bytes
    data: bytes
    most_gas: int
    channel: bytes = b""
    state: State = State.QUEUED
    since: int = 0
    nonce: int = 0
    gas: int = 0
    raw: bytes = b""
    hashes: tuple[bytes, ...] = ()
    fee_limit: int = 0
    fee_tip: int = 0
    block: int = 0
    reason: str = ""
    told: int = 0


class Claimed(msgspec.Struct, frozen=True):
    """What asking for a settlement came to: its row, and whether it is new. `conflict` says that the payer's
    identifier was used for something else.
    """

    row: Settlement | None
    new: bool = False
    conflict: bool = False


_COLUMNS: Final = Settlement.__struct_fields__
# Names of columns are the struct's own.
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM settlements"  # noqa: S608
_INSERT: Final = f"INSERT INTO settlements VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SAVED: Final = tuple(name for name in _COLUMNS if name not in ("id", "told"))
_SETS: Final = ", ".join(f"{name} = ?" for name in _SAVED)
_UPDATE: Final = f"UPDATE settlements SET {_SETS} WHERE id = ?"  # noqa: S608
_UNSENT: Final = "(SELECT id FROM settlements WHERE state = ?)"


def _create(transaction: Transaction) -> None:
    texts = {"scheme", "kind", "amount", "state", "reason"}
    blobs = {"payer", "payee", "token", "contract", "data", "channel", "raw", "hashes"}
    kinds = {name: "TEXT" if name in texts else "BLOB" if name in blobs else "INTEGER" for name in _COLUMNS}
    columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in kinds.items() if name != "id")
    transaction.execute(f"CREATE TABLE settlements (id BLOB PRIMARY KEY, {columns})")
    transaction.execute("CREATE INDEX settlements_state ON settlements (state)")
    transaction.execute("CREATE TABLE transactions (hash BLOB PRIMARY KEY, settlement BLOB NOT NULL)")
    transaction.execute(
        "CREATE TABLE identifiers (scope TEXT NOT NULL, identifier TEXT NOT NULL, fingerprint BLOB NOT NULL, "
        "settlement BLOB NOT NULL, PRIMARY KEY (scope, identifier))"
    )


class Store:
    """The rows, in a database that nobody else writes."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("facilitator", (_create,))

    async def claim(
        self, row: Settlement, scope: str, identifier: str, fingerprint: bytes, *, again: bool = False
    ) -> Claimed:
        """Write `row` down unless its authorization has one, or its payer's identifier within `scope` was
        used. `again` replaces a row that failed.
        """

        def work(transaction: Transaction) -> Claimed:
            if identifier:
                known = transaction.fetch(
                    "SELECT fingerprint, settlement FROM identifiers WHERE scope = ? AND identifier = ?",
                    (scope, identifier),
                )
                if known and bytes(known[0][0]) != fingerprint:
                    return Claimed(_found(transaction, bytes(known[0][1])), conflict=True)
                if not known:
                    transaction.execute(
                        "INSERT INTO identifiers VALUES (?, ?, ?, ?)",
                        (scope, identifier, fingerprint, row.id),
                    )
            found = _found(transaction, row.id)
            if found is not None and not (again and found.state is State.FAILED):
                return Claimed(found)
            transaction.execute("DELETE FROM settlements WHERE id = ?", (row.id,))
            transaction.execute(_INSERT, _values(row))
            return Claimed(row, new=True)

        return await self._database.async_write(work, brief=True)

    async def save(self, row: Settlement) -> None:
        """Replace a row, and note its newest transaction."""

        def work(transaction: Transaction) -> None:
            values = dict(zip(_COLUMNS, _values(row), strict=True))
            transaction.execute(_UPDATE, (*(values[name] for name in _SAVED), row.id))
            for name in row.hashes[-1:]:
                transaction.execute(
                    "INSERT INTO transactions VALUES (?, ?) ON CONFLICT (hash) DO NOTHING", (name, row.id)
                )

        await self._database.async_write(work, brief=True)

    async def drop(self, name: bytes) -> None:
        """Forget a settlement for which nothing was sent."""

        def work(transaction: Transaction) -> None:
            unsent = (name, State.QUEUED.value)
            if transaction.execute("DELETE FROM settlements WHERE id = ? AND state = ?", unsent):
                transaction.execute("DELETE FROM identifiers WHERE settlement = ?", (name,))

        await self._database.async_write(work, brief=True)

    async def tell(self, name: bytes) -> bool:
        """Note that somebody is told of a success; False when somebody was before."""
        query = "UPDATE settlements SET told = 1 WHERE id = ? AND told = 0"
        return bool(await self._database.async_write(lambda t: t.execute(query, (name,)), brief=True))

    async def find(self, name: bytes) -> Settlement | None:
        """A settlement by its id, or by the hash of one of its transactions."""

        def work(transaction: Transaction) -> Settlement | None:
            found = _found(transaction, name)
            if found is not None:
                return found
            by_hash = transaction.fetch("SELECT settlement FROM transactions WHERE hash = ?", (name,))
            return _found(transaction, bytes(by_hash[0][0])) if by_hash else None

        return await self._database.async_read(work)

    async def conflicts(self, scope: str, identifier: str, fingerprint: bytes) -> bool:
        """Whether a payer's identifier was used for something else."""
        query = "SELECT fingerprint FROM identifiers WHERE scope = ? AND identifier = ?"
        found = await self._database.async_read(lambda t: t.fetch(query, (scope, identifier)))
        return bool(found) and bytes(found[0][0]) != fingerprint

    async def under_way(self) -> list[Settlement]:
        """Every settlement whose transaction is not done with, in the order of their nonces."""
        query = f"{_SELECT} WHERE state = ? ORDER BY nonce"
        rows = await self._database.async_read(lambda t: t.fetch(query, (State.SENT.value,)))
        return [_row(row) for row in rows]

    async def lately(self, block: int) -> list[Settlement]:
        """Settlements mined from `block` on, which a chain that goes back could lose."""
        query = f"{_SELECT} WHERE state = ? AND block >= ? AND block > 0"
        rows = await self._database.async_read(lambda t: t.fetch(query, (State.SETTLED.value, block)))
        return [_row(row) for row in rows]

    async def begin(self) -> int:
        """Take out what was never sent; how many."""

        def work(transaction: Transaction) -> int:
            unsent = (State.QUEUED.value,)
            transaction.execute(f"DELETE FROM identifiers WHERE settlement IN {_UNSENT}", unsent)  # noqa: S608
            return transaction.execute("DELETE FROM settlements WHERE state = ?", unsent)

        return await self._database.async_write(work)

    async def prune(self, now: int, kept_days: int) -> int:
        """Forget what is old and could not be presented again; how many."""
        before = now - kept_days * DAY_MS

        def work(transaction: Transaction) -> int:
            old = (
                "SELECT id FROM settlements WHERE state IN ('settled', 'failed') AND created < ? "
                "AND expires > 0 AND expires < ?"
            )
            for table in ("identifiers", "transactions"):
                transaction.execute(f"DELETE FROM {table} WHERE settlement IN ({old})", (before, now))  # noqa: S608
            return transaction.execute(f"DELETE FROM settlements WHERE id IN ({old})", (before, now))  # noqa: S608

        return await self._database.async_write(work)

    async def counts(self) -> dict[str, int]:
        """Number of settlements by state."""
        query = "SELECT state, COUNT(*) FROM settlements GROUP BY state"
        return {str(state): int(n) for state, n in await self._database.async_read(lambda t: t.fetch(query))}


def require_id(text: str) -> bytes:
    """The 32 bytes of a settlement's or transaction's name; empty when it is none."""
    try:
        name = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return b""
    return name if len(name) == 32 else b""


def _found(transaction: Transaction, name: bytes) -> Settlement | None:
    rows = transaction.fetch(f"{_SELECT} WHERE id = ?", (name,))
    return _row(rows[0]) if rows else None


def _values(row: Settlement) -> list[Any]:
    values = msgspec.structs.asdict(row)
    values |= {"amount": str(row.amount), "state": row.state.value, "hashes": b"".join(row.hashes)}
    return [values[name] for name in _COLUMNS]


def _row(found: Row) -> Settlement:
    values: dict[str, Any] = dict(zip(_COLUMNS, found, strict=True))
    joined = bytes(values["hashes"])
    values |= {
        name: bytes(values[name])
        for name in ("id", "payer", "payee", "token", "contract", "data", "channel", "raw")
    }
    values |= {
        "amount": int(values["amount"]),
        "state": State(values["state"]),
        "hashes": tuple(joined[at : at + 32] for at in range(0, len(joined), 32)),
    }
    return Settlement(**values)
