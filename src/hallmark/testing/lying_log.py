"""A log operator that signs whatever it likes, and what else it takes to test witnesses in memory.

`LyingLog` is an honest log until one of its branching methods is used: `forked`, `rewritten` and
`rolled_back` give logs that sign with the same key over another history.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from hallmark.core.errors import Conflict
from hallmark.core.merkle import leaf_hash
from hallmark.ledger.checkpoint import Checkpoint, sign
from hallmark.ledger.note import COSIGNATURE, ED25519, Note, SigningKey
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import Proof
from hallmark.ledger.tree import Tree
from hallmark.ledger.witness import AddCheckpoint, State, Witness

ORIGIN = "log.test/hallmark"


class MemoryWitnessState:
    """A witness's memory that a restart would lose. For tests alone."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}

    async def latest(self, origin: str) -> State:
        """What was last cosigned."""
        return self.states.get(origin, State())

    async def advance(self, origin: str, old: State, new: State, _cosigned: Note, /) -> None:
        """Compare and swap. Raises Conflict `witness_raced`."""
        if await self.latest(origin) != old:
            raise Conflict("witness_raced", "Another request was faster.")
        self.states[origin] = new


class LyingLog:
    """A whole log in memory, with the key of `origin`; see the module docstring."""

    def __init__(self, leaves: Sequence[bytes] = (), origin: str = ORIGIN) -> None:
        self.origin = origin
        self.key = SigningKey(origin, ED25519, sha256(origin.encode()).digest())
        self.leaves: list[bytes] = []
        self._tiles: dict[tuple[int, int], bytes] = {}
        self.tree = Tree(lambda level, index: self._tiles[level, index])
        self.extend(leaves)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaves."""
        edge, full = self.tree.stage(map(leaf_hash, leaves))
        self._tiles.update({(tile.level, tile.index): tile.hashes for tile in full})
        self.tree.adopt(edge)
        self.leaves += leaves

    def checkpoint(self, size: int | None = None) -> Note:
        """A signed checkpoint of this history at `size` (all when None)."""
        at = self.tree.size if size is None else size
        return sign(Checkpoint(self.origin, at, self.tree.root(at)), self.key)

    def request(self, old: int, size: int | None = None) -> bytes:
        """An add-checkpoint body from `old` to `size`, with this history's own proof."""
        at = self.tree.size if size is None else size
        proof = self.tree.consistency_proof(old, at) if old <= at else ()
        return AddCheckpoint(old, proof, self.checkpoint(at)).encode()

    def proof(self, index: int, note: Note) -> bytes:
        """A tlog-proof of leaf `index` under a checkpoint note of this history."""
        size = Checkpoint.parse(note.text).size
        return Proof(index, self.tree.inclusion_proof(index, size), note).encode()

    def forked(self, at: int, leaves: Sequence[bytes]) -> LyingLog:
        """The same history up to `at`, and other leaves from there."""
        return LyingLog((*self.leaves[:at], *leaves), self.origin)

    def rewritten(self, index: int, leaf: bytes) -> LyingLog:
        """The same history with one leaf replaced."""
        return LyingLog((*self.leaves[:index], leaf, *self.leaves[index + 1 :]), self.origin)

    def rolled_back(self, size: int) -> LyingLog:
        """The same history, its end forgotten."""
        return LyingLog(self.leaves[:size], self.origin)


def witness_key(name: str) -> SigningKey:
    """A witness key made from its name."""
    return SigningKey(name, COSIGNATURE, sha256(b"witness " + name.encode()).digest())


def witnesses(log: LyingLog, count: int) -> dict[str, Witness]:
    """Witnesses `w0`, `w1`, ... of a log, each with a memory of its own."""
    names = [f"w{number}" for number in range(count)]
    return {name: Witness(witness_key(name), [log.key.verifier], MemoryWitnessState()) for name in names}


def policy_text(log: LyingLog, count: int, threshold: int) -> str:
    """A tlog-policy with `count` witnesses as `witnesses` makes them, `threshold` of which are the quorum."""
    names = [f"w{number}" for number in range(count)]
    lines = [f"log {log.key.vkey}", *(f"witness {name} {witness_key(name).vkey}" for name in names)]
    return "\n".join((*lines, f"group full-nodes {threshold} {' '.join(names)}", "quorum full-nodes", ""))


def policy_of(log: LyingLog, count: int = 4, threshold: int = 3) -> Policy:
    """`policy_text`, parsed."""
    return Policy.parse(policy_text(log, count, threshold))
