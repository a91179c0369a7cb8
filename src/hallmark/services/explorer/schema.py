"""The explorer's tables, all of which can be made again from the log.

explorer_entries    position | admitted, unix ms | kind | leaf hash 32 bytes
explorer_receipts   position | id 32 | node 20 | artifact 32 | manifest 32 | label | asserted 0/1 | finished
explorer_names      name ("<space>:<hex>:<position>") | position

Spaces of names: `r` digests by which a receipt is found, `l` leaf hashes, `s` what an entry is about: keys,
digests of documents.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.store import Migration

METADATA = sa.MetaData()
NAME: Final = sa.String(96).with_variant(sa.String(96, collation="C"), "postgresql")
"""Compared byte by byte: a language's collation would pass over the colons."""
ENTRIES: Final = sa.Table(
    "explorer_entries",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("admitted", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Integer, nullable=False),
    sa.Column("leaf", sa.LargeBinary(32), nullable=False),
)
sa.Index("explorer_entries_kind", ENTRIES.c.kind, ENTRIES.c.position)
RECEIPTS: Final = sa.Table(
    "explorer_receipts",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.LargeBinary(32), nullable=False),
    sa.Column("node", sa.LargeBinary(20), nullable=False),
    sa.Column("artifact", sa.LargeBinary(32), nullable=False),
    sa.Column("manifest", sa.LargeBinary(32), nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("asserted", sa.Integer, nullable=False),
    sa.Column("finished", sa.BigInteger, nullable=False),
)
sa.Index("explorer_receipts_node", RECEIPTS.c.node, RECEIPTS.c.position)
sa.Index("explorer_receipts_artifact", RECEIPTS.c.artifact, RECEIPTS.c.position)
sa.Index("explorer_receipts_label", RECEIPTS.c.label, RECEIPTS.c.position)
NAMES: Final = sa.Table(
    "explorer_names",
    METADATA,
    sa.Column("name", NAME, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
)


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


MIGRATIONS: tuple[Migration, ...] = (_create,)
