"""Blobs that are much like one another, kept as what each says that others did not.

A blob is deflated (RFC 1951) with a preset dictionary of earlier blobs of its kind:

    0x00 || the bytes as they are
    0x01 || first 4 bytes of SHA-256(dictionary) || raw deflate

packed_dictionaries    id | kind | number | dictionary

1. A dictionary is written in the transaction of the first blob that needs it, so neither is there alone.
2. New ones are made now and then from the newest blobs, so that what changes is learnt; old ones stay.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict, deque
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.store.database import Database
from hallmark.store.migrations import Migration, migrate

METADATA = sa.MetaData()
DICTIONARIES: Final = sa.Table(
    "packed_dictionaries",
    METADATA,
    sa.Column("id", sa.LargeBinary(4), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("dictionary", sa.LargeBinary, nullable=False),
)
PLAIN, DEFLATED = b"\x00", b"\x01"
NAME: Final = 4
LEVEL, WINDOW, MEMORY = 6, -15, 8
"""What zlib is told; a negative window is deflate without a header."""
SAMPLES, SAMPLE = 4, 6_144
FIRST, GROWTH, RARE = 8, 4, 65_536
"""The first dictionary is made of 8 blobs, each further one after four times as many, 65,536 at most."""
REMEMBERED: Final = 32
LARGEST: Final = 1 << 26


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


MIGRATIONS: tuple[Migration, ...] = (_create,)


class Packed:
    """Packs blobs of one `kind`; see the module docstring. `pack` belongs to the writer's thread."""

    def __init__(self, database: Database, kind: str) -> None:
        migrate(database, "packed", MIGRATIONS)
        self._database, self._kind = database, kind
        self._known: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._samples: deque[bytes] = deque(maxlen=SAMPLES)
        self._name, self._number, self._since = b"", 0, 0
        self._begun: tuple[bytes, zlib._Compress] | None = None
        self._written_in: object = None
        self._sure = True
        columns = (DICTIONARIES.c.id, DICTIONARIES.c.number, DICTIONARIES.c.dictionary)
        newest = sa.select(*columns).where(DICTIONARIES.c.kind == kind)
        newest = newest.order_by(DICTIONARIES.c.number.desc()).limit(1)
        for name, number, dictionary in database.read(lambda c: list(c.execute(newest))):
            self._name, self._number = bytes(name), int(number)
            self._remember(self._name, bytes(dictionary))

    def pack(self, connection: Connection, data: bytes) -> bytes:
        """The form on disk of `data`, which the caller writes in this transaction."""
        self._learn(data)
        if not self._name:
            return PLAIN + data
        if not self._sure:
            self._keep(connection)
        packer = self._packer()
        packed = DEFLATED + self._name + packer.compress(data) + packer.flush()
        return packed if len(packed) <= len(data) else PLAIN + data

    def unpack(self, data: bytes, connection: Connection | None = None) -> bytes:
        """What was packed. `connection` is the one that is read with. Raises VerificationFailed
        `store_changed` for what was not packed here.
        """
        kind, name, rest = data[:1], data[1 : 1 + NAME], data[1 + NAME :]
        if kind == PLAIN:
            return data[1:]
        if kind != DEFLATED:
            raise VerificationFailed("store_changed", CHANGED)
        inflate = zlib.decompressobj(WINDOW, self._find(name, connection))
        try:
            found = inflate.decompress(rest, LARGEST)
        except zlib.error as error:
            raise VerificationFailed("store_changed", CHANGED) from error
        if not inflate.eof or inflate.unused_data:
            raise VerificationFailed("store_changed", CHANGED)
        return found

    def _packer(self) -> zlib._Compress:
        """One that has taken in the newest dictionary, which takes longer than packing a small blob does."""
        if self._begun is None or self._begun[0] != self._name:
            dictionary = self._find(self._name)
            begun = zlib.compressobj(
                LEVEL, zlib.DEFLATED, WINDOW, MEMORY, zlib.Z_DEFAULT_STRATEGY, dictionary
            )
            self._begun = (self._name, begun)
        return self._begun[1].copy()

    def _learn(self, data: bytes) -> None:
        """Take a blob into account; now and then make a dictionary of the newest ones."""
        self._since += 1
        self._samples.append(data[:SAMPLE])
        if self._since < min(FIRST * GROWTH**self._number, RARE):
            return
        dictionary = b"".join(dict.fromkeys(self._samples))
        self._name, self._number, self._since = sha256(dictionary)[:NAME], self._number + 1, 0
        self._sure, self._written_in = False, None
        self._remember(self._name, dictionary)

    def _keep(self, connection: Connection) -> None:
        """Write the newest dictionary until a transaction other than the one that wrote it finds it."""
        transaction = connection.get_transaction()
        if self._written_in is transaction and transaction is not None:
            return
        where = DICTIONARIES.c.id == self._name
        if connection.scalar(sa.select(DICTIONARIES.c.number).where(where)) is not None:
            self._sure, self._written_in = True, None
            return
        row = {"id": self._name, "kind": self._kind, "number": self._number}
        row["dictionary"] = self._find(self._name)
        connection.execute(DICTIONARIES.insert().values(**row))
        self._written_in = transaction

    def _find(self, name: bytes, connection: Connection | None = None) -> bytes:
        with self._lock:
            known = self._known.get(name)
            if known is not None:
                self._known.move_to_end(name)
                return known
        query = sa.select(DICTIONARIES.c.dictionary).where(DICTIONARIES.c.id == name)
        if connection is not None:
            found = connection.scalar(query)
        else:
            found = self._database.read(lambda c: c.scalar(query))
        if found is None:
            raise VerificationFailed("store_changed", CHANGED)
        self._remember(name, bytes(found))
        return bytes(found)

    def _remember(self, name: bytes, dictionary: bytes) -> None:
        with self._lock:
            self._known[name] = dictionary
            while len(self._known) > REMEMBERED:
                # The newest is in use, also while it is on no disk yet.
                self._known.pop(next(each for each in self._known if each != self._name))


CHANGED: Final = "What the store holds is not what was written to it."
