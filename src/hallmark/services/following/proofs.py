"""Proofs and leaves from what a follower folded: who follows the log need not ask it for every receipt.

1. A proof is against the newest checkpoint whose quorum the follower verified, over the leaves that it hashed
   to that root: its path is recomputed here.
2. Leaves that came lately are kept, within bounds; older ones are asked of the log, and who uses them checks
   them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound, Unavailable
from hallmark.core.merkle import inclusion_proof, leaf_hash
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.note import Note
from hallmark.ledger.proof import Proof
from hallmark.services.following.follower import Follower
from hallmark.services.following.log_client import LogClient
from hallmark.verification.fold import Replica

RECENT_BYTES: Final = 1 << 20
MOST_BEHIND: Final = 4_096
"""Leaves between an entry and the end of a checkpoint that are shown."""


def proof_text(replica: Replica, index: int, size: int, note: Note) -> str:
    """The tlog-proof of an entry under the note of the checkpoint of this size, over the folded leaves."""
    path = inclusion_proof(index, size, replica.judgements.tree.node)
    return Proof(index, path, note).encode().decode()


def inclusion_path(replica: Replica, index: int, size: int) -> tuple[str, ...]:
    """The inclusion path of an entry at `size`, 0x-hex nodes. Raises NotFound `unknown_entry`."""
    if not index < size <= replica.size:
        raise NotFound("unknown_entry", "The log was not read that far.")
    return tuple(map(hex0x, inclusion_proof(index, size, replica.judgements.tree.node)))


class FollowedProofs:
    """See the module docstring. A `Source` of dossiers."""

    def __init__(self, follower: Follower, log: LogClient, recent_bytes: int = RECENT_BYTES) -> None:
        self._follower, self._log, self._most = follower, log, recent_bytes
        self._recent: deque[bytes] = deque()
        self._end = self._bytes = 0
        follower.taps.append(self._take)

    async def proof(self, index: int, wait_ms: int = 0, /) -> str:
        """The tlog-proof of an entry, after waiting at most so long for a checkpoint that covers it. Raises
        Unavailable `not_witnessed_yet`.
        """
        await self._follower.reached(index + 1, wait_ms / 1000)
        head, note = self._follower.head, self._follower.note
        if head is None or note is None or head.checkpoint.size <= index:
            raise Unavailable("not_witnessed_yet", "No cosigned checkpoint that covers this was read yet.")
        return proof_text(self._follower.replica, index, head.checkpoint.size, note)

    async def behind(self, index: int, note: bytes) -> tuple[str, tuple[bytes, ...]]:
        """The tlog-proof of an entry under the checkpoint of a note that covers it (empty: the newest), and
        all leaves behind it up to that checkpoint's end: they show every objection to it. Raises Unavailable
        `not_witnessed_yet`, `too_many_behind`, and what the log answers with.
        """
        if note:
            read = Note.parse(note)
            size = Checkpoint.parse(read.text).size
            proof = proof_text(self._follower.replica, index, size, read)
        else:
            proof = await self.proof(index)
            size = Checkpoint.parse(Proof.parse(proof.encode()).note.text).size
        if size - index - 1 > MOST_BEHIND:
            raise Unavailable("too_many_behind", "Too much was logged before a quorum covered this.")
        after = await self.leaves(index + 1, size) if size > index + 1 else []
        for at, leaf in enumerate(after, start=index + 1):
            if leaf_hash(leaf) != self._follower.replica.leaf_hash(at):
                raise Unavailable("leaf_other", "The log gave another leaf than the one that was folded.")
        return proof, tuple(after)

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end). Raises what the log answers with when they are not kept here any more."""
        first = self._end - len(self._recent)
        if first <= start <= end <= self._end:
            return [self._recent[at - first] for at in range(start, end)]
        return await self._log.leaves(start, end)

    async def path(self, index: int, size: int) -> tuple[str, ...]:
        """The inclusion path of an entry at `size`, 0x-hex nodes. Raises NotFound `unknown_entry`."""
        return inclusion_path(self._follower.replica, index, size)

    def _take(self, index: int, leaf: bytes) -> None:
        self._recent.append(leaf)
        self._end, self._bytes = index + 1, self._bytes + len(leaf)
        while self._bytes > self._most:
            self._bytes -= len(self._recent.popleft())
