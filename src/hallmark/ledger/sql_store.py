"""`LogStore` and `WitnessState` over a raw database: SQLite and PostgreSQL alike.

log_leaves     idx (dense from 0) | entry_id 32 bytes, unique | leaf
log_tiles      level, idx | hashes 8,192 bytes | root 32 bytes          full tiles only
log_cosigned   newest cosigned checkpoint, one row
witness_state  origin | size | root
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Final

from hallmark.core.entries import entry_id, split_leaf
from hallmark.core.errors import Conflict, NotFound, Unavailable
from hallmark.core.merkle import leaf_hash
from hallmark.ledger.note import Note
from hallmark.ledger.store import Found, Staged
from hallmark.ledger.tiles import LEVEL_BITS, WIDTH
from hallmark.ledger.tree import Tree, partial_widths
from hallmark.ledger.witness import State
from hallmark.store.errors import ConstraintBroken
from hallmark.store.raw import RawDatabase, Row, Step, Transaction

RECENT_LEAVES: Final = 4096
LOOKUP_CHUNK: Final = 500
BRIEF: Final = 64
"""Leaves up to which an append is a brief transaction."""

ADD_LEAF: Final = "INSERT INTO log_leaves (idx, entry_id, leaf) VALUES (?, ?, ?)"
ADD_TILE: Final = "INSERT INTO log_tiles (level, idx, hashes, root) VALUES (?, ?, ?, ?)"
KEEP_COSIGNED: Final = (
    "INSERT INTO log_cosigned VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET "
    "size = excluded.size, note = excluded.note WHERE log_cosigned.size <= excluded.size"
)
WITNESS_AT: Final = "SELECT size, root FROM witness_state WHERE origin = ?"
MOVE_WITNESS: Final = "UPDATE witness_state SET size = ?, root = ? WHERE origin = ? AND size = ? AND root = ?"
ADD_WITNESS: Final = "INSERT INTO witness_state (origin, size, root) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"


def _create_log(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE log_leaves (idx INTEGER PRIMARY KEY, entry_id BLOB NOT NULL UNIQUE, leaf BLOB NOT NULL)"
    )
    transaction.execute(
        "CREATE TABLE log_tiles (level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, "
        "root BLOB NOT NULL, PRIMARY KEY (level, idx))"
    )
    transaction.execute(
        "CREATE TABLE log_cosigned (one INTEGER PRIMARY KEY, size INTEGER NOT NULL, note BLOB NOT NULL)"
    )


def _create_witness(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE witness_state (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL)"
    )


LOG_MIGRATIONS: Final = (_create_log,)
WITNESS_MIGRATIONS: Final = (_create_witness,)


class SQLLogStore:
    """A log's durable state; see `LogStore`. Opening migrates and reads the right edge, not the whole log."""

    def __init__(self, database: RawDatabase) -> None:
        database.migrate("log", LOG_MIGRATIONS)
        self._database = database
        self._tree = Tree(self._load_tile)
        self._recent: list[bytes] = []
        self._appending = asyncio.Lock()
        self.last_admitted = 0
        self._restore(database.read(_edge))

    @property
    def size(self) -> int:
        """Durable leaves."""
        return self._tree.size

    @property
    def tree(self) -> Tree:
        """The tree over the durable leaves."""
        return self._tree

    def stage(self, leaves: Sequence[bytes]) -> Staged:
        """What `commit` would make of these leaves; see `LogStore.stage`."""
        edge, full = self._tree.stage(map(leaf_hash, leaves))
        return Staged(self._tree.size, leaves, edge, full)

    async def append(self, leaves: Sequence[bytes], *, within: Step | None = None) -> int:
        """Append leaves in one transaction; see `LogStore.append`."""
        async with self._appending:
            return await self._commit(self.stage(leaves), within)

    async def commit(self, staged: Staged, *, within: Step | None = None) -> int:
        """Append staged leaves in one transaction; see `LogStore.commit`."""
        async with self._appending:
            return await self._commit(staged, within)

    async def _commit(self, staged: Staged, within: Step | None) -> int:
        first, leaves = staged.first, staged.leaves
        if first != self._tree.size:
            raise Conflict("duplicate_entry", "Other leaves were appended meanwhile.")
        if not leaves and within is None:
            return first

        def work(transaction: Transaction) -> None:
            if within is not None:
                within(transaction)
            add(transaction, staged)

        try:
            await self._database.async_write(work, brief=len(leaves) <= BRIEF)
        except ConstraintBroken as error:
            raise Conflict("duplicate_entry", "An entry is there already, or another wrote.") from error
        self._tree.adopt(staged.edge)
        if leaves:
            self._remember(leaves)
        return first

    def _remember(self, leaves: Sequence[bytes]) -> None:
        self._recent += leaves
        if len(self._recent) > 2 * RECENT_LEAVES:
            del self._recent[:-RECENT_LEAVES]
        self.last_admitted = split_leaf(leaves[-1])[0]

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end). Raises NotFound `no_such_entry`."""
        if not 0 <= start <= end <= self.size:
            raise NotFound("no_such_entry", f"The log has {self.size} entries.")
        first = self.size - len(self._recent)
        if start >= first:
            return self._recent[start - first : end - first]
        return await self._database.async_read(lambda transaction: _leaves(transaction, start, end))

    async def tile(self, level: int, index: int, width: int) -> bytes:
        """The first `width` hashes of a tile. Raises NotFound `no_such_tile`."""
        last = (index * WIDTH + width) << (LEVEL_BITS * level)
        if not 1 <= width <= WIDTH or last > self.size:
            raise NotFound("no_such_tile", f"The log has {self.size} entries: it has no such tile yet.")
        # Not inside a transaction: a tile that is not in memory is read in one of its own.
        return await asyncio.to_thread(self._tree.tile_hashes, level, index, width)

    async def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """Audit path of a leaf at a size."""
        tree = self._tree
        if tree.is_hot(index):
            return tree.inclusion_proof(index, size)
        return await asyncio.to_thread(tree.inclusion_proof, index, size)

    async def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Proof between two sizes."""
        tree = self._tree
        if old == 0 or tree.is_hot(old - 1):
            return tree.consistency_proof(old, new)
        return await asyncio.to_thread(tree.consistency_proof, old, new)

    async def find(self, entry_ids: Sequence[bytes]) -> dict[bytes, Found]:
        """Which of these entries are in the log, by entry id."""
        return await self._database.async_read(lambda transaction: _find(transaction, entry_ids))

    async def cosigned(self) -> Note | None:
        """The newest cosigned checkpoint that was kept."""
        found = await self._database.async_read(lambda t: t.fetch("SELECT note FROM log_cosigned"))
        return Note.parse(found[0][0]) if found else None

    async def keep_cosigned(self, size: int, note: Note) -> None:
        """Remember a cosigned checkpoint in place of a smaller one."""
        row = (size, note.encode())
        await self._database.async_write(lambda t: t.execute(KEEP_COSIGNED, row), brief=True)

    async def reload(self) -> None:
        """Read the durable state again."""
        self._restore(await self._database.async_read(_edge))

    def _restore(self, found: tuple[int, list[list[bytes]], list[bytes]]) -> None:
        size, partials, recent = found
        tree = Tree(self._load_tile)
        tree.restore(size, partials)
        self._tree, self._recent = tree, recent
        self.last_admitted = split_leaf(recent[-1])[0] if recent else 0

    def _load_tile(self, level: int, index: int) -> bytes:
        query = "SELECT hashes FROM log_tiles WHERE level = ? AND idx = ?"
        found = self._database.read(lambda transaction: transaction.fetch(query, (level, index)))
        if not found or len(found[0][0]) != 32 * WIDTH:
            raise Unavailable("store_damaged", f"The store has lost tile {level}/{index}.")
        return bytes(found[0][0])


class SQLWitnessState:
    """A witness's durable memory; see `WitnessState`. It keeps no notes."""

    def __init__(self, database: RawDatabase) -> None:
        database.migrate("witness", WITNESS_MIGRATIONS)
        self._database = database
        self._known: dict[str, State] = {}

    async def latest(self, origin: str) -> State:
        """What was last cosigned."""
        if origin not in self._known:
            rows = await self._database.async_read(lambda t: t.fetch(WITNESS_AT, (origin,)))
            self._known[origin] = State(*rows[0]) if rows else State()
        return self._known[origin]

    async def advance(self, origin: str, old: State, new: State, _cosigned: Note, /) -> None:
        """Compare and swap, durably. Raises Conflict `witness_raced`."""
        self._known.pop(origin, None)
        await self._database.async_write(lambda t: swap(t, origin, old, new), brief=True)
        self._known[origin] = new


def add(transaction: Transaction, staged: Staged) -> None:
    """Write staged leaves and the tiles that they fill. Raises ConstraintBroken."""
    if staged.leaves:
        places = enumerate(staged.leaves, start=staged.first)
        transaction.executemany(ADD_LEAF, [(index, entry_id(leaf[8:]), leaf) for index, leaf in places])
    if staged.full:
        transaction.executemany(ADD_TILE, [(t.level, t.index, t.hashes, t.root) for t in staged.full])


def swap(transaction: Transaction, origin: str, old: State, new: State) -> None:
    """A witness's state moves from `old` to `new`. Raises Conflict `witness_raced`."""
    if transaction.execute(MOVE_WITNESS, (new.size, new.root, origin, old.size, old.root)) == 1:
        return
    if old == State() and transaction.execute(ADD_WITNESS, (origin, new.size, new.root)) == 1:
        return
    raise Conflict("witness_raced", "Another request moved this witness meanwhile.")


def _edge(transaction: Transaction) -> tuple[int, list[list[bytes]], list[bytes]]:
    """Size, partial tiles of every level, and recent leaves."""
    ((last,),) = transaction.fetch("SELECT max(idx) FROM log_leaves")
    size = 0 if last is None else last + 1
    recent = _leaves(transaction, max(0, size - WIDTH), size)
    partials: list[list[bytes]] = []
    for level, width in enumerate(partial_widths(size)):
        if level == 0:
            partials.append([leaf_hash(leaf) for leaf in islice(recent, len(recent) - width, None)])
            continue
        end = size >> (LEVEL_BITS * level)
        query = "SELECT root FROM log_tiles WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx"
        roots = _blobs(transaction.fetch(query, (level - 1, end - width, end)))
        if len(roots) != width:
            raise Unavailable("store_damaged", f"The store has lost tiles of level {level - 1}.")
        partials.append(roots)
    return size, partials, recent


def _blobs(rows: Sequence[Row]) -> list[bytes]:
    return [row[0] for row in rows]


def _leaves(transaction: Transaction, start: int, end: int) -> list[bytes]:
    query = "SELECT leaf FROM log_leaves WHERE idx >= ? AND idx < ? ORDER BY idx"
    leaves = _blobs(transaction.fetch(query, (start, end)))
    if len(leaves) != end - start:
        raise Unavailable("store_damaged", "The store has lost entries.")
    return leaves


def _find(transaction: Transaction, entry_ids: Sequence[bytes]) -> dict[bytes, Found]:
    found: dict[bytes, Found] = {}
    for at in range(0, len(entry_ids), LOOKUP_CHUNK):
        asked = tuple(entry_ids[at : at + LOOKUP_CHUNK])
        marks = ", ".join("?" * len(asked))
        query = f"SELECT entry_id, idx, substr(leaf, 1, 8) FROM log_leaves WHERE entry_id IN ({marks})"  # noqa: S608 - question marks alone
        for key, index, admitted in transaction.fetch(query, asked):
            found[key] = Found(index, int.from_bytes(admitted, "big"))
    return found
