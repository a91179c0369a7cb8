"""The explorer's tables, all of which can be made again from the log.

explorer_entries    position | kind; every entry but those of the next table
explorer_receipts   position | node | artifact | label; of receipts that carry their node's signature
explorer_names      space | prefix | position
explorer_counts     what | key | count; of the entries below `size`
explorer_state      name | value: `size`, how many entries are indexed; `first`, the prefix of leaf 0's hash

`node`, `artifact`, `label` are numbers of `store.terms`. `prefix` are the first 6 bytes of a digest or key,
as a number: whoever looks for more digits looks at the entry itself. Spaces of names: 0 digests by which a
receipt is found, 1 leaf hashes, 2 what an entry is about: keys, digests of documents, a receipt's payer and
offer; 3 receipts and artifacts of which somebody said how they turned out.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.store import Migration

METADATA = sa.MetaData()


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


ENTRIES: Final = sa.Table(
    "explorer_entries",
    METADATA,
    _key("position"),
    _number("kind"),
    sa.Index("explorer_entries_kind", "kind", "position"),
)
RECEIPTS: Final = sa.Table(
    "explorer_receipts",
    METADATA,
    _key("position"),
    _number("node"),
    _number("artifact"),
    _number("label"),
    sa.Index("explorer_receipts_node", "node", "position"),
    sa.Index("explorer_receipts_artifact", "artifact", "position"),
    sa.Index("explorer_receipts_label", "label", "position"),
)
NAMES: Final = sa.Table(
    "explorer_names",
    METADATA,
    _key("space"),
    _key("prefix"),
    _key("position"),
    sqlite_with_rowid=False,
)
COUNTS: Final = sa.Table(
    "explorer_counts",
    METADATA,
    sa.Column("what", sa.String(16), primary_key=True),
    sa.Column("key", sa.LargeBinary, primary_key=True),
    _number("count"),
    sqlite_with_rowid=False,
)
STATE: Final = sa.Table(
    "explorer_state", METADATA, sa.Column("name", sa.String(16), primary_key=True), _number("value")
)


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


def clear(connection: Connection) -> None:
    """Hold nothing: what was indexed before is read again."""
    for table in (ENTRIES, RECEIPTS, NAMES, COUNTS, STATE):
        connection.execute(table.delete())


MIGRATIONS: tuple[Migration, ...] = (_create, clear, clear)
"""The second counts receipts by version too, the third what is said of them."""
