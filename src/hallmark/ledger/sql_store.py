"""`LogStore` and `WitnessState` over SQL: SQLite and PostgreSQL alike.

log_leaves     idx (dense from 0) | entry_id 32 bytes, unique | leaf
log_tiles      level, idx | hashes 8,192 bytes | root 32 bytes          full tiles only
log_cosigned   newest cosigned checkpoint, one row
witness_state  origin | size | root
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from hallmark.core.entries import entry_id, split_leaf
from hallmark.core.errors import Conflict, NotFound, Unavailable
from hallmark.ledger.merkle import leaf_hash
from hallmark.ledger.note import Note
from hallmark.ledger.store import Found
from hallmark.ledger.tiles import LEVEL_BITS, WIDTH
from hallmark.ledger.tree import Edge, Tree, partial_widths
from hallmark.ledger.witness import State
from hallmark.store import Database, Migration, migrate

RECENT_LEAVES = 4096
LOOKUP_CHUNK = 500

METADATA = sa.MetaData()
_INDEX = sa.BigInteger().with_variant(sa.Integer, "sqlite")
LEAVES = sa.Table(
    "log_leaves",
    METADATA,
    sa.Column("idx", _INDEX, primary_key=True, autoincrement=False),
    sa.Column("entry_id", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
)
TILES = sa.Table(
    "log_tiles",
    METADATA,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("idx", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hashes", sa.LargeBinary, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
)
COSIGNED = sa.Table(
    "log_cosigned",
    METADATA,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)
WITNESS = sa.Table(
    "witness_state",
    METADATA,
    sa.Column("origin", sa.String(255), primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
)


def _create_log(connection: Connection) -> None:
    METADATA.create_all(connection, tables=[LEAVES, TILES, COSIGNED])


def _create_witness(connection: Connection) -> None:
    METADATA.create_all(connection, tables=[WITNESS])


LOG_MIGRATIONS: tuple[Migration, ...] = (_create_log,)
WITNESS_MIGRATIONS: tuple[Migration, ...] = (_create_witness,)


class SQLLogStore:
    """A log's durable state; see `LogStore`. Opening migrates and reads the right edge, not the whole log."""

    def __init__(self, database: Database) -> None:
        migrate(database, "log", LOG_MIGRATIONS)
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

    async def append(
        self, leaves: Sequence[bytes], *, within: Callable[[Connection], None] | None = None
    ) -> int:
        """Append leaves in one transaction; see `LogStore.append`."""

        def work(connection: Connection) -> Edge:
            if within is not None:
                within(connection)
            edge, full = self._tree.stage(map(leaf_hash, leaves))
            first = self._tree.size
            rows = [
                {"idx": first + offset, "entry_id": entry_id(leaf[8:]), "leaf": leaf}
                for offset, leaf in enumerate(leaves)
            ]
            connection.execute(LEAVES.insert(), rows)
            if full:
                tiles = [
                    {"level": tile.level, "idx": tile.index, "hashes": tile.hashes, "root": tile.root}
                    for tile in full
                ]
                connection.execute(TILES.insert(), tiles)
            return edge

        async with self._appending:
            first = self._tree.size
            if not leaves:
                return first
            try:
                edge = await self._database.async_write(work)
            except IntegrityError as error:
                raise Conflict("duplicate_entry", "An entry is there already, or another wrote.") from error
            self._tree.adopt(edge)
            self._recent = [*self._recent, *leaves][-RECENT_LEAVES:]
            self.last_admitted = split_leaf(leaves[-1])[0]
            return first

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end). Raises NotFound `no_such_entry`."""
        if not 0 <= start <= end <= self.size:
            raise NotFound("no_such_entry", f"The log has {self.size} entries.")
        first = self.size - len(self._recent)
        if start >= first:
            return self._recent[start - first : end - first]
        return await self._database.async_read(lambda connection: _leaves(connection, start, end))

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
        return await self._database.async_read(lambda connection: _find(connection, entry_ids))

    async def cosigned(self) -> Note | None:
        """The newest cosigned checkpoint that was kept."""
        data = await self._database.async_read(
            lambda connection: connection.scalar(sa.select(COSIGNED.c.note))
        )
        return None if data is None else Note.parse(bytes(data))

    async def keep_cosigned(self, size: int, note: Note) -> None:
        """Remember a cosigned checkpoint in place of a smaller one."""
        row = {"one": 1, "size": size, "note": note.encode()}

        def work(connection: Connection) -> None:
            known = connection.scalar(sa.select(COSIGNED.c.size))
            if known is None:
                connection.execute(COSIGNED.insert().values(row))
            elif known <= size:
                connection.execute(COSIGNED.update().values(row))

        await self._database.async_write(work)

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
        query = sa.select(TILES.c.hashes).where(TILES.c.level == level, TILES.c.idx == index)
        found = self._database.read(lambda connection: connection.scalar(query))
        if found is None or len(found) != 32 * WIDTH:
            raise Unavailable("store_damaged", f"The store has lost tile {level}/{index}.")
        return bytes(found)


class SQLWitnessState:
    """A witness's durable memory; see `WitnessState`."""

    def __init__(self, database: Database) -> None:
        migrate(database, "witness", WITNESS_MIGRATIONS)
        self._database = database
        self._known: dict[str, State] = {}

    async def latest(self, origin: str) -> State:
        """What was last cosigned."""
        if origin not in self._known:
            query = sa.select(WITNESS.c.size, WITNESS.c.root).where(WITNESS.c.origin == origin)
            row = await self._database.async_read(lambda connection: connection.execute(query).first())
            self._known[origin] = State() if row is None else State(row.size, bytes(row.root))
        return self._known[origin]

    async def advance(self, origin: str, old: State, new: State) -> None:
        """Compare and swap, durably. Raises Conflict `witness_raced`."""
        values = {"size": new.size, "root": new.root}
        update = WITNESS.update().where(
            WITNESS.c.origin == origin, WITNESS.c.size == old.size, WITNESS.c.root == old.root
        )

        def work(connection: Connection) -> None:
            if connection.execute(update.values(values)).rowcount == 1:
                return
            if old != State() or connection.scalar(
                sa.select(WITNESS.c.size).where(WITNESS.c.origin == origin)
            ):
                raise Conflict("witness_raced", "Another request moved this witness meanwhile.")
            connection.execute(WITNESS.insert().values(origin=origin, **values))

        self._known.pop(origin, None)
        try:
            await self._database.async_write(work)
        except IntegrityError as error:
            raise Conflict("witness_raced", "Another request moved this witness meanwhile.") from error
        self._known[origin] = new


def _edge(connection: Connection) -> tuple[int, list[list[bytes]], list[bytes]]:
    """Size, partial tiles of every level, and recent leaves."""
    last = connection.scalar(sa.select(sa.func.max(LEAVES.c.idx)))
    size = 0 if last is None else last + 1
    recent = _leaves(connection, max(0, size - WIDTH), size)
    partials: list[list[bytes]] = []
    for level, width in enumerate(partial_widths(size)):
        if level == 0:
            partials.append([leaf_hash(leaf) for leaf in islice(recent, len(recent) - width, None)])
            continue
        end = size >> (LEVEL_BITS * level)
        query = (
            sa.select(TILES.c.root)
            .where(TILES.c.level == level - 1, TILES.c.idx >= end - width, TILES.c.idx < end)
            .order_by(TILES.c.idx)
        )
        roots = [bytes(root) for root in connection.scalars(query)]
        if len(roots) != width:
            raise Unavailable("store_damaged", f"The store has lost tiles of level {level - 1}.")
        partials.append(roots)
    return size, partials, recent


def _leaves(connection: Connection, start: int, end: int) -> list[bytes]:
    query = sa.select(LEAVES.c.leaf).where(LEAVES.c.idx >= start, LEAVES.c.idx < end).order_by(LEAVES.c.idx)
    leaves = [bytes(leaf) for leaf in connection.scalars(query)]
    if len(leaves) != end - start:
        raise Unavailable("store_damaged", "The store has lost entries.")
    return leaves


def _find(connection: Connection, entry_ids: Sequence[bytes]) -> dict[bytes, Found]:
    found: dict[bytes, Found] = {}
    for at in range(0, len(entry_ids), LOOKUP_CHUNK):
        query = sa.select(LEAVES.c.entry_id, LEAVES.c.idx, sa.func.substr(LEAVES.c.leaf, 1, 8)).where(
            LEAVES.c.entry_id.in_(entry_ids[at : at + LOOKUP_CHUNK])
        )
        for key, index, admitted in connection.execute(query):
            found[bytes(key)] = Found(index, int.from_bytes(bytes(admitted), "big"))
    return found
