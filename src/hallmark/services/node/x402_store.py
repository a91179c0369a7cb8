"""x402 payments that this host keeps: from when a payer came with one until the chain has it, or never will.

    kept      the enclave may be answering for it; it can be forgotten
    due       so much of it is to be settled, whatever happens to host and enclave meanwhile
    settled   a block has it, deep enough
    refused   the chain will not take it

A chain can go back behind both of the last two. While the block that made them so is young they are looked at
again, over restarts too, and can become due once more. So are deposits into channels, which are kept from
their first block on, and what was claimed from channels.

Payments that have expired and are not due are thrown away after a while.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.x402_payment import read_payment
from hallmark.services.node.rail_earnings import RAILS, HostEarnings, RailSums, Sum
from hallmark.store.raw import RawDatabase, Transaction

KEPT_S: Final = 7 * 86_400
"""For so long after its expiry it is known what became of a payment."""
TABLE: Final = (
    "CREATE TABLE x402_payments (name BLOB PRIMARY KEY, payer BLOB NOT NULL, token BLOB NOT NULL, "
    "most TEXT NOT NULL, expires INTEGER NOT NULL, payment BLOB NOT NULL, state TEXT NOT NULL, "
    "amount TEXT NOT NULL, hashes BLOB NOT NULL, hash BLOB NOT NULL, reason TEXT NOT NULL)"
)
COLUMNS: Final = "name, payment, state, amount, hashes, hash, reason, block"
YOUNG: Final = "state IN ('settled', 'refused') AND block > 0"
HASH: Final = 32
TOLD: Final = ("settled", "due", "refused")


class State(enum.StrEnum):
    """How far a payment came; see the module docstring."""

    KEPT = "kept"
    DUE = "due"
    SETTLED = "settled"
    REFUSED = "refused"


class Kept(msgspec.Struct, frozen=True):
    """One payment: its 32-byte name, the bytes that the enclave gave, how much is due, the hashes of all
    transactions that were signed for it, the one that a block has, or the reason why none will. `block` is
    the one that made it so; 0 when that is past doubt.
    """

    name: bytes
    payment: bytes
    state: State
    amount: int
    hashes: tuple[bytes, ...]
    transaction: bytes = b""
    reason: str = ""
    block: int = 0


class Presented(msgspec.Struct, frozen=True):
    """A payment that somebody came with: who pays, in which token, at most how much, until when (unix s), and
    by which rail; `deposit` for a channel's.
    """

    name: bytes
    payer: bytes
    token: bytes
    most: int
    expires: int
    payment: bytes
    rail: str = "exact"


class Claimed(msgspec.Struct, frozen=True):
    """All that the chain was seen to have claimed from a channel (its 32-byte id), and in which block."""

    channel: bytes
    amount: int
    block: int


def create(transaction: Transaction) -> None:
    """The table of version 1."""
    transaction.execute(TABLE)


def look_again(transaction: Transaction) -> None:
    """Version 2: what a chain that goes back could take away."""
    transaction.execute("ALTER TABLE x402_payments ADD COLUMN block INTEGER NOT NULL DEFAULT 0")
    transaction.execute("CREATE INDEX x402_payments_block ON x402_payments (block)")
    transaction.execute(
        "CREATE TABLE x402_claims (channel BLOB PRIMARY KEY, amount TEXT NOT NULL, block INTEGER NOT NULL)"
    )


def rails(transaction: Transaction) -> None:
    """Version 3: what each rail came to, over what is thrown away too."""
    transaction.execute("ALTER TABLE x402_payments ADD COLUMN rail TEXT NOT NULL DEFAULT ''")
    for name, payment in transaction.fetch("SELECT name, payment FROM x402_payments"):
        read = read_payment(bytes(payment))
        rail = "deposit" if read.channel is not None else read.scheme
        transaction.execute("UPDATE x402_payments SET rail = ? WHERE name = ?", (rail, name))
    transaction.execute("ALTER TABLE x402_claims ADD COLUMN token TEXT NOT NULL DEFAULT ''")
    transaction.execute(
        "CREATE TABLE x402_earned (rail TEXT NOT NULL, token TEXT NOT NULL, payments INTEGER NOT NULL, "
        "amount TEXT NOT NULL, PRIMARY KEY (rail, token))"
    )


class X402Store:
    """The rows, in a database that nobody else writes them to."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("node_x402", (create, look_again, rails))

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
                "INSERT INTO x402_payments VALUES (?, ?, ?, ?, ?, ?, 'kept', '0', ?, ?, '', 0, ?) "
                "ON CONFLICT (name) DO NOTHING",
                (*_columns(one), b"", b"", one.rail),
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

    async def over(self, name: bytes, transaction_hash: bytes, reason: str, *, block: int = 0) -> None:
        """It is in a block, deep enough (a hash where it is known), or the chain refuses it (a reason), as of
        `block`; 0 when no chain that goes back can change that.
        """
        state = State.REFUSED if reason else State.SETTLED
        update = "UPDATE x402_payments SET state = ?, hash = ?, reason = ?, block = ? WHERE name = ?"
        values = (state.value, transaction_hash, reason, block, name)
        await self._database.async_write(lambda t: t.execute(update, values), brief=True)

    async def deposited(self, one: Presented, transaction_hash: bytes, block: int) -> None:
        """A block has a channel's deposit: kept, so that it can go in again."""
        insert = (
            "INSERT INTO x402_payments VALUES (?, ?, ?, ?, ?, ?, 'settled', ?, ?, ?, '', ?, ?) "
            "ON CONFLICT (name) DO UPDATE "
            "SET state = excluded.state, hash = excluded.hash, block = excluded.block"
        )
        hashed = transaction_hash
        values = (*_columns(one), str(one.most), hashed, hashed, block, one.rail)
        await self._database.async_write(lambda t: t.execute(insert, values), brief=True)

    async def again(self, name: bytes) -> Kept | None:
        """The chain went back behind what became of it: it is due once more."""

        def work(transaction: Transaction) -> Kept | None:
            transaction.execute(
                "UPDATE x402_payments SET state = 'due', hash = ?, reason = '', block = 0 "  # noqa: S608 - constants
                f"WHERE name = ? AND {YOUNG}",
                (b"", name),
            )
            return _first(transaction, "WHERE name = ?", (name,))

        return await self._database.async_write(work, brief=True)

    async def young(self) -> list[Kept]:
        """Everything that a chain that goes back could change."""
        return await self._database.async_read(lambda t: _all(t, f"WHERE {YOUNG}", ()))

    async def aged(self, block: int) -> None:
        """What happened in this block or before it is past doubt."""

        def work(transaction: Transaction) -> None:
            aged = f"UPDATE x402_payments SET block = 0 WHERE {YOUNG} AND block <= ?"  # noqa: S608 - constants
            transaction.execute(aged, (block,))
            transaction.execute("UPDATE x402_claims SET block = 0 WHERE block > 0 AND block <= ?", (block,))

        await self._database.async_write(work, brief=True)

    async def claimed(self, claims: Mapping[bytes, int], block: int, token: bytes) -> None:
        """So much in all of a token was claimed from channels (by their 32-byte ids), as of this block."""
        rows = [(channel, str(amount), block, token.hex()) for channel, amount in claims.items()]
        insert = (
            "INSERT INTO x402_claims VALUES (?, ?, ?, ?) ON CONFLICT (channel) "
            "DO UPDATE SET amount = excluded.amount, block = excluded.block, token = excluded.token"
        )
        await self._database.async_write(lambda t: t.executemany(insert, rows), brief=True)

    async def claims(self) -> list[Claimed]:
        """What was claimed of channels lately."""
        query = "SELECT channel, amount, block FROM x402_claims WHERE block > 0"
        rows = await self._database.async_read(lambda t: t.fetch(query))
        return [Claimed(bytes(channel), int(amount), int(block)) for channel, amount, block in rows]

    async def waiting(self) -> list[Kept]:
        """Everything that is due."""
        return await self._database.async_read(lambda t: _all(t, "WHERE state = 'due'", ()))

    async def earned(self, token: bytes) -> HostEarnings:
        """What each rail came to in a token, since this store began. What expired long ago and was refused is
        not counted.
        """

        def work(transaction: Transaction) -> HostEarnings:
            sums = {
                rail: {State.SETTLED.value: Sum(payments, amount)}
                for rail, payments, amount in transaction.fetch(
                    "SELECT rail, payments, amount FROM x402_earned WHERE token = ?", (token.hex(),)
                )
            }
            for rail, state, amount in transaction.fetch(
                "SELECT rail, state, amount FROM x402_payments WHERE token = ?", (token,)
            ):
                states = sums.setdefault(rail, {})
                states[state] = states.get(state, Sum()).plus(1, int(amount))
            claims = transaction.fetch("SELECT amount FROM x402_claims WHERE token = ?", (token.hex(),))
            claimed = Sum(len(claims), str(sum(int(amount) for (amount,) in claims)))
            found = {
                rail: RailSums(*(sums.get(rail, {}).get(state, Sum()) for state in TOLD)) for rail in RAILS
            }
            return HostEarnings(hex0x(token), found, claimed)

        return await self._database.async_read(work)

    async def prune(self, now: int) -> None:
        """Throw away what expired long before `now` (unix s); what was settled of it stays in the sums."""
        old = "FROM x402_payments WHERE state <> 'due' AND expires < ?"

        def work(transaction: Transaction) -> None:
            before = (now - KEPT_S,)
            for rail, token, amount in transaction.fetch(
                f"SELECT rail, token, amount {old} AND state = 'settled'",
                before,
            ):
                _earn(transaction, str(rail), bytes(token), int(amount))
            transaction.execute(f"DELETE {old}", before)

        await self._database.async_write(work)


def _earn(transaction: Transaction, rail: str, token: bytes, amount: int) -> None:
    key = (rail, token.hex())
    rows = transaction.fetch("SELECT payments, amount FROM x402_earned WHERE rail = ? AND token = ?", key)
    known = Sum(*rows[0]).plus(1, amount) if rows else Sum(1, str(amount))
    transaction.execute("DELETE FROM x402_earned WHERE rail = ? AND token = ?", key)
    transaction.execute("INSERT INTO x402_earned VALUES (?, ?, ?, ?)", (*key, known.payments, known.amount))


def _columns(one: Presented) -> tuple[Any, ...]:
    return one.name, one.payer, one.token, str(one.most), one.expires, one.payment


def _first(transaction: Transaction, where: str, values: Sequence[Any]) -> Kept | None:
    return next(iter(_all(transaction, where, values)), None)


def _all(transaction: Transaction, where: str, values: Sequence[Any]) -> list[Kept]:
    query = f"SELECT {COLUMNS} FROM x402_payments {where}"  # noqa: S608 - constants of this module
    rows = transaction.fetch(query, tuple(values))
    return [
        Kept(
            bytes(name),
            bytes(payment),
            State(state),
            int(amount),
            tuple(bytes(hashes)[at : at + HASH] for at in range(0, len(bytes(hashes)), HASH)),
            bytes(found),
            str(reason),
            int(block),
        )
        for name, payment, state, amount, hashes, found, reason, block in rows
    ]
