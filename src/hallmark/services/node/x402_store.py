"""x402 payments that this host keeps: from when a payer came with one until the chain has it, or never will.

    kept      the enclave may be answering for it; it can be forgotten
    due       so much of it is to be settled, whatever happens to host and enclave meanwhile
    settled   a block has it, deep enough
    refused   the chain will not take it

Payments that have expired and are not due are thrown away after a while.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hallmark.store.raw import RawDatabase, Transaction

KEPT_S: Final = 7 * 86_400
"""For so long after its expiry it is known what became of a payment."""
TABLE: Final = (
    "CREATE TABLE x402_payments (name BLOB PRIMARY KEY, payer BLOB NOT NULL, token BLOB NOT NULL, "
    "most TEXT NOT NULL, expires INTEGER NOT NULL, payment BLOB NOT NULL, state TEXT NOT NULL, "
    "amount TEXT NOT NULL, hashes BLOB NOT NULL, hash BLOB NOT NULL, reason TEXT NOT NULL)"
)
COLUMNS: Final = "name, payment, state, amount, hashes, hash, reason"
HASH: Final = 32


class State(enum.StrEnum):
    """How far a payment came; see the module docstring."""

    KEPT = "kept"
    DUE = "due"
    SETTLED = "settled"
    REFUSED = "refused"


class Kept(msgspec.Struct, frozen=True):
    """One payment: its 32-byte name, the bytes that the enclave gave, how much is due, the hashes of all
    transactions that were signed for it, the one that a block has, or the reason why none will.
    """

    name: bytes
    payment: bytes
    state: State
    amount: int
    hashes: tuple[bytes, ...]
    transaction: bytes = b""
    reason: str = ""


class Presented(msgspec.Struct, frozen=True):
    """A payment that somebody came with: who pays, in which token, at most how much, until when (unix s)."""

    name: bytes
    payer: bytes
    token: bytes
    most: int
    expires: int
    payment: bytes


def create(transaction: Transaction) -> None:
    """The table of version 1."""
    transaction.execute(TABLE)


class X402Store:
    """The rows, in a database that nobody else writes them to."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("node_x402", (create,))

    async def keep(self, one: Presented, now: int) -> int:
        """Keep a payment, if it is not; what its payer's other payments may still take of the same token at
        `now` (unix s).
        """

        def work(transaction: Transaction) -> int:
            others = transaction.fetch(
                "SELECT state, most, amount FROM x402_payments WHERE payer = ? AND token = ? AND name <> ? "
                "AND expires >= ? AND state IN ('kept', 'due')",
                (one.payer, one.token, one.name, now),
            )
            transaction.execute(
                "INSERT INTO x402_payments VALUES (?, ?, ?, ?, ?, ?, 'kept', '0', ?, ?, '') "
                "ON CONFLICT (name) DO NOTHING",
                (one.name, one.payer, one.token, str(one.most), one.expires, one.payment, b"", b""),
            )
            return sum(int(most if state == State.KEPT else amount) for state, most, amount in others)

        return await self._database.async_write(work, brief=True)

    async def due(self, name: bytes, amount: int) -> Kept | None:
        """So much of it is to be settled, unless that was said before; None where it is not kept."""

        def work(transaction: Transaction) -> Kept | None:
            transaction.execute(
                "UPDATE x402_payments SET state = 'due', amount = ? WHERE name = ? AND state = 'kept'",
                (str(amount), name),
            )
            return _first(transaction, "WHERE name = ?", (name,))

        return await self._database.async_write(work, brief=True)

    async def find(self, name: bytes) -> Kept | None:
        """What is known of a payment."""
        return await self._database.async_read(lambda t: _first(t, "WHERE name = ?", (name,)))

    async def forget(self, name: bytes, *, due: bool = False) -> None:
        """Nothing of it is to be settled; `due`: though that was said, nothing was sent."""
        states = "('kept', 'due')" if due else "('kept')"
        delete = f"DELETE FROM x402_payments WHERE name = ? AND state IN {states}"  # noqa: S608 - two constants
        await self._database.async_write(lambda t: t.execute(delete, (name,)), brief=True)

    async def signed(self, name: bytes, transaction_hash: bytes) -> None:
        """A transaction is about to be sent for it."""

        def work(transaction: Transaction) -> None:
            found = _first(transaction, "WHERE name = ?", (name,))
            if found is not None and transaction_hash not in found.hashes:
                hashes = b"".join((*found.hashes, transaction_hash))
                transaction.execute("UPDATE x402_payments SET hashes = ? WHERE name = ?", (hashes, name))

        await self._database.async_write(work, brief=True)

    async def over(self, name: bytes, transaction_hash: bytes, reason: str) -> None:
        """It is in a block, deep enough (a hash where it is known), or the chain refuses it (a reason)."""
        state = State.REFUSED if reason else State.SETTLED
        update = "UPDATE x402_payments SET state = ?, hash = ?, reason = ? WHERE name = ?"
        values = (state.value, transaction_hash, reason, name)
        await self._database.async_write(lambda t: t.execute(update, values), brief=True)

    async def waiting(self) -> list[Kept]:
        """Everything that is due."""
        return await self._database.async_read(lambda t: _all(t, "WHERE state = 'due'", ()))

    async def prune(self, now: int) -> None:
        """Throw away what expired long before `now` (unix s)."""
        delete = "DELETE FROM x402_payments WHERE state <> 'due' AND expires < ?"
        await self._database.async_write(lambda t: t.execute(delete, (now - KEPT_S,)))


def _first(transaction: Transaction, where: str, values: Sequence[Any]) -> Kept | None:
    return next(iter(_all(transaction, where, values)), None)


def _all(transaction: Transaction, where: str, values: Sequence[Any]) -> list[Kept]:
    query = f"SELECT {COLUMNS} FROM x402_payments {where}"  # noqa: S608 - constants of this module
    return [
        Kept(
            bytes(name),
            bytes(payment),
            State(state),
            int(amount),
            tuple(bytes(hashes)[at : at + HASH] for at in range(0, len(bytes(hashes)), HASH)),
            bytes(found),
            str(reason),
        )
        for name, payment, state, amount, hashes, found, reason in transaction.fetch(query, tuple(values))
    ]
