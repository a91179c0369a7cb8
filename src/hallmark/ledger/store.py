"""The `Store` seam: what a log, or a full copy of one, needs from durable state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from hallmark.ledger.note import Note
from hallmark.ledger.tree import Edge, FullTile, Tree
from hallmark.store.raw import Step


class Found(msgspec.Struct, frozen=True):
    """Where an entry is, and when it was admitted (unix ms)."""

    index: int
    admitted: int


class Staged(msgspec.Struct, frozen=True):
    """Leaves on their way into a store of `first` leaves, each hashed once: the tree that they give, and the
    tiles that they fill.
    """

    first: int
    leaves: Sequence[bytes]
    edge: Edge
    full: list[FullTile]

    @property
    def root(self) -> bytes:
        """The root with these leaves appended; 32 bytes."""
        return self.edge.root()


class LogStore(Protocol):
    """A log's leaves, its tree, and the newest checkpoint that its quorum cosigned.

    Leaves are never changed or removed. One process writes; appending is atomic: all leaves of a call are
    durable when it returns, or none is there. Roots of any size are asked of `tree`.
    Everything raises Unavailable `store_full` or `store_unavailable` when the database cannot.
    """

    @property
    def size(self) -> int:
        """Durable leaves."""
        ...

    @property
    def last_admitted(self) -> int:
        """Admission time of the newest leaf (unix ms), 0 for an empty log."""
        ...

    @property
    def tree(self) -> Tree:
        """The tree over the durable leaves."""
        ...

    def stage(self, leaves: Sequence[bytes]) -> Staged:
        """Hash leaves and see what root they give, changing nothing."""
        ...

    async def append(self, leaves: Sequence[bytes], *, within: Step | None = None) -> int:
        """Append leaves in one transaction with one fsync; returns the index of the first.

        `within` runs first in the same transaction, also when there are no leaves: what it writes is as
        durable as the leaves, and when it raises, nothing happened. Raises Conflict `duplicate_entry` when an
        entry is in the log already, or twice among `leaves`, or another process appended.
        """
        ...

    async def commit(self, staged: Staged, *, within: Step | None = None) -> int:
        """`append` of leaves that were staged. Raises as `append` does, also when others were appended since
        they were staged.
        """
        ...

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end). Raises NotFound `no_such_entry` when the log is shorter."""
        ...

    async def tile(self, level: int, index: int, width: int) -> bytes:
        """The first `width` hashes of a tile, 32 bytes each. Raises NotFound `no_such_tile`."""
        ...

    async def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """`Tree.inclusion_proof`, beside the event loop when old tiles must be read for it."""
        ...

    async def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """`Tree.consistency_proof`, beside the event loop when old tiles must be read for it."""
        ...

    async def find(self, entry_ids: Sequence[bytes]) -> dict[bytes, Found]:
        """Which of these entries are in the log, by entry id."""
        ...

    async def cosigned(self) -> Note | None:
        """The newest checkpoint kept by `keep_cosigned`."""
        ...

    async def keep_cosigned(self, size: int, note: Note) -> None:
        """Remember a cosigned checkpoint in place of a smaller one."""
        ...

    async def reload(self) -> None:
        """Forget what is in memory and read the durable state again, after another process wrote."""
        ...
