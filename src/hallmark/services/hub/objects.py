"""What was promised about blobs: objects in Walrus's sense, each with the epochs that it is for.

On Walrus an object is on Sui. Here it is a row of this store, with a random ID; nobody else vouches for it.
"""

from __future__ import annotations

import msgspec

from hallmark.core.errors import NotFound
from hallmark.store.raw import RawDatabase, Row, Transaction

COLUMNS = "object_id, blob_id, size, registered, ends, deletable"


class BlobObject(msgspec.Struct, frozen=True):
    """An object: its ID (32 bytes), the blob's ID (text) and length, the epoch in which it was registered,
    the epoch in which it ends (exclusive), and whether it may be deleted before.
    """

    object_id: bytes
    blob_id: str
    size: int
    registered: int
    ends: int
    deletable: bool


def _create(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE blob_objects (object_id BLOB NOT NULL PRIMARY KEY, blob_id TEXT NOT NULL, "
        "size BIGINT NOT NULL, registered INTEGER NOT NULL, ends INTEGER NOT NULL, "
        "deletable INTEGER NOT NULL)"
    )
    transaction.execute("CREATE INDEX blob_objects_by_blob ON blob_objects (blob_id, ends)")


class Objects:
    """The rows."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("blob_objects", (_create,))

    async def add(self, added: BlobObject) -> None:
        """Write one down, durably. Raises what the store raises."""

        def work(transaction: Transaction) -> None:
            row = (added.object_id, added.blob_id, added.size, added.registered, added.ends)
            transaction.execute(
                f"INSERT INTO blob_objects ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
                (*row, int(added.deletable)),
            )

        await self._database.async_write(work, brief=True)

    async def longest(self, identifier: str, *, permanent: bool) -> BlobObject | None:
        """The object of a blob that ends last; with `permanent` of those that cannot be deleted."""
        kinds = "AND deletable = 0" if permanent else ""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                f"SELECT {COLUMNS} FROM blob_objects WHERE blob_id = ? {kinds} "  # noqa: S608 - constants
                "ORDER BY ends DESC, deletable LIMIT 1",
                (identifier,),
            )
        )
        return _object(rows[0]) if rows else None

    async def find(self, object_id: bytes) -> BlobObject:
        """The object with this ID. Raises NotFound `blob_object_not_found`."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                f"SELECT {COLUMNS} FROM blob_objects WHERE object_id = ?",  # noqa: S608 - a constant
                (object_id,),
            )
        )
        if not rows:
            raise NotFound("blob_object_not_found", "This store has no object with this ID.")
        return _object(rows[0])


def _object(row: Row) -> BlobObject:
    object_id, blob_id, size, registered, ends, deletable = row
    return BlobObject(
        bytes(object_id),
        str(blob_id),
        int(size),
        int(registered),
        int(ends),
        bool(deletable),
    )
