"""What a full node keeps, and the one transaction in which a checkpoint becomes durable.

fullnode_cosigned      size | root 32 bytes | note (log signature and own cosignature)
fullnode_misbehaviour  one row: reason | idx | note that shows it (may be empty) | at, unix ms
witness_state          of `ledger.sql_store`: what was cosigned last

For each checkpoint that is cosigned one transaction (one fsync) holds: the leaves that it adds and the tiles
that they fill, the witness's state, the note with this node's cosignature, and what a `Companion` writes. It
is durable before the cosignature is given. Leaves below a checkpoint that is refused, and those that were
copied from a mirror, are made durable by `save`, together with what the companion writes.

Whoever folds the log and wants its state to be exactly as durable as the leaves that it stands for sets
`CheckpointStore.companion`: both ways lead through it, and it is told when what it wrote is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from hallmark.ledger.note import Note
from hallmark.ledger.sql_store import WITNESS_AT, WITNESS_MIGRATIONS, swap
from hallmark.ledger.store import LogStore, Staged
from hallmark.ledger.witness import State
from hallmark.store.raw import RawDatabase, Step, Transaction

KEPT: Final = 10_000
FORGET_EVERY: Final = 1_024
KEEP: Final = (
    "INSERT INTO fullnode_cosigned VALUES (?, ?, ?) "
    "ON CONFLICT (size) DO UPDATE SET root = excluded.root, note = excluded.note"
)
FORGET: Final = (
    "DELETE FROM fullnode_cosigned WHERE size <= "
    "(SELECT size FROM fullnode_cosigned ORDER BY size DESC LIMIT 1 OFFSET ?)"
)


def _create(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE fullnode_cosigned (size INTEGER PRIMARY KEY, root BLOB NOT NULL, note BLOB NOT NULL)"
    )
    transaction.execute(
        "CREATE TABLE fullnode_misbehaviour (one INTEGER PRIMARY KEY, reason TEXT NOT NULL, "
        "idx INTEGER NOT NULL, note BLOB NOT NULL, at INTEGER NOT NULL)"
    )


class Misbehaviour(msgspec.Struct, frozen=True):
    """Why the log is not cosigned any more: reason code, position, the note that shows it, when (unix ms)."""

    reason: str
    index: int
    note: bytes
    at: int


class Companion(Protocol):
    """What somebody else keeps in the transactions that make leaves durable."""

    def write(self, transaction: Transaction, size: int) -> None:
        """Write what belongs to the leaves below `size`. May run beside the event loop, while nothing is
        judged; may run again with the same size when the transaction before failed. What it raises undoes the
        whole transaction.
        """
        ...

    def written(self, size: int) -> None:
        """What was written for `size` is durable."""
        ...


class CheckpointStore:
    """Durable rows; see the module docstring. It is the witness's state (`ledger.witness.WitnessState`), and
    holds the leaves that were judged until they are durable in `store`.
    """

    def __init__(self, database: RawDatabase, store: LogStore) -> None:
        database.migrate("witness", WITNESS_MIGRATIONS)
        database.migrate("fullnode", (_create,))
        self._database = database
        self._store = store
        self._state: dict[str, State] = {}
        self._staged: Staged | None = None
        self._kept = 0
        self._in_doubt = False
        self.companion: Companion | None = None
        self.judged: list[bytes] = []
        """Leaves from the store's size on that were judged and are not durable yet."""
        self.note = database.read(_newest)
        """The newest note that was cosigned, with this node's line; None before the first."""

    def stage(self, leaves: Sequence[bytes]) -> Staged:
        """What the log is with these leaves behind those that were judged. Changes nothing."""
        return self._store.stage([*self.judged, *leaves] if self.judged else leaves)

    def staged(self, staged: Staged) -> None:
        """All leaves of what `stage` gave were judged by now: it need not be computed again."""
        self._staged = staged

    async def save(self) -> None:
        """Make the leaves that were judged durable without cosigning anything."""
        if self.judged:
            await self._commit(lambda _transaction: None)

    async def latest(self, origin: str) -> State:
        """What was last cosigned."""
        await self._settle()
        if origin not in self._state:
            rows = await self._database.async_read(lambda t: t.fetch(WITNESS_AT, (origin,)))
            self._state[origin] = State(*rows[0]) if rows else State()
        return self._state[origin]

    async def advance(self, origin: str, old: State, new: State, cosigned: Note) -> None:
        """The one transaction of a checkpoint. Raises Conflict `witness_raced`, and as the store does."""
        note = cosigned.encode()
        self._kept += 1
        forget = self._kept % FORGET_EVERY == 0

        def write(transaction: Transaction) -> None:
            swap(transaction, origin, old, new)
            transaction.execute(KEEP, (new.size, new.root, note))
            if forget:
                transaction.execute(FORGET, (KEPT,))

        self._state.pop(origin, None)
        await self._commit(write)
        self._state[origin], self.note = new, note

    async def root(self, size: int) -> bytes | None:
        """The root of the checkpoint of this size that was cosigned; None if it was not."""
        query = "SELECT root FROM fullnode_cosigned WHERE size = ?"
        found = await self._database.async_read(lambda t: t.fetch(query, (size,)))
        return bytes(found[0][0]) if found else None

    async def accuse(self, found: Misbehaviour) -> None:
        """Remember why the log must not be cosigned; the first reason stands."""
        row = (found.reason, found.index, found.note, found.at)
        add = "INSERT INTO fullnode_misbehaviour VALUES (1, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        await self._database.async_write(lambda t: t.execute(add, row))

    async def accusation(self) -> Misbehaviour | None:
        """Why the log must not be cosigned, if it must not."""
        query = "SELECT reason, idx, note, at FROM fullnode_misbehaviour"
        rows = await self._database.async_read(lambda t: t.fetch(query))
        return Misbehaviour(*rows[0]) if rows else None

    async def _commit(self, write: Step) -> None:
        staged, companion = self._staged, self.companion
        if staged is None or staged.first != self._store.size or len(staged.leaves) != len(self.judged):
            staged = self._store.stage(tuple(self.judged))
        size = staged.edge.size

        def within(transaction: Transaction) -> None:
            write(transaction)
            if companion is not None:
                companion.write(transaction, size)

        try:
            await self._store.commit(staged, within=within)
        except BaseException:
            self._in_doubt = True
            raise
        self.judged, self._staged = [], None
        if companion is not None:
            companion.written(size)

    async def _settle(self) -> None:
        """After a commit that failed: whether it is there all the same is for the database to say (a server
        may have committed what it could not answer for any more).
        """
        if not self._in_doubt:
            return
        before = self._store.size
        await self._store.reload()
        del self.judged[: self._store.size - before]
        self.note = await self._database.async_read(_newest)
        self._in_doubt, self._staged = False, None


def _newest(transaction: Transaction) -> bytes | None:
    found = transaction.fetch("SELECT note FROM fullnode_cosigned ORDER BY size DESC LIMIT 1")
    return bytes(found[0][0]) if found else None
