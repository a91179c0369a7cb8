"""RFC 6962 Merkle trees over SHA-256: roots, proofs, and their verification.

    leaf hash = SHA-256(0x00 || leaf bytes)          node hash = SHA-256(0x01 || left || right)
    root of no leaves = SHA-256("")

Proofs are made from hashes of *perfect* subtrees alone: `node(level, index)` is the hash over leaves
`[index << level, (index + 1) << level)`. Such hashes never change once the leaves are there, so they can be
stored once and serve every tree size. All hashes are 32 bytes; sizes and indices count leaves from zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256 as _sha256
from typing import TypeAlias

from hallmark.core.errors import InvalidInput, VerificationFailed

Nodes: TypeAlias = Callable[[int, int], bytes]

HASH_SIZE = 32
EMPTY_ROOT = _sha256().digest()
MAX_PROOF = 64


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf's bytes (RFC 6962 section 2.1)."""
    return _sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 6962 section 2.1)."""
    return _sha256(b"\1" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes, all of them at hand. For logs, ask `Tree.root`."""
    tree = CompactRange()
    tree.extend(hashes)
    return tree.root()


class CompactRange:
    """The perfect subtrees that make up a tree of `size` leaves: enough to append and to tell the root.

    At most 64 hashes whatever the size. Not safe to share between threads.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        if len(self.peaks) != size.bit_count():
            raise InvalidInput("bad_compact_range", f"A tree of {size} leaves has {size.bit_count()} peaks.")

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the right."""
        size, peaks = self.size, self.peaks
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes at the right."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """Root of the tree so far."""
        return fold_peaks(self.peaks)

    def copy(self) -> CompactRange:
        """An independent copy."""
        return CompactRange(self.size, self.peaks)


def fold_peaks(peaks: Sequence[bytes]) -> bytes:
    """Root from the hashes of a tree's perfect subtrees, left to right."""
    if not peaks:
        return EMPTY_ROOT
    total = peaks[-1]
    for peak in reversed(peaks[:-1]):
        total = node_hash(peak, total)
    return total


def range_peaks(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The perfect subtrees (level, index) that cover leaves [start, end), left to right.

    `start` must be where a subtree of that width may begin, as it is at every split of RFC 6962.
    """
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def range_hash(start: int, end: int, node: Nodes) -> bytes:
    """Hash of the subtree over leaves [start, end), from stored perfect subtrees; O(log n)."""
    return fold_peaks([node(level, index) for level, index in range_peaks(start, end)])


def root_at(size: int, node: Nodes) -> bytes:
    """Root of the tree of the first `size` leaves."""
    return range_hash(0, size, node)


def inclusion_proof(index: int, size: int, node: Nodes) -> tuple[bytes, ...]:
    """Audit path of leaf `index` in the tree of `size`, from the leaf's sibling up (RFC 6962 section 2.1.1).

    Raises InvalidInput `index_out_of_range`.
    """
    if not 0 <= index < size:
        raise InvalidInput("index_out_of_range", f"There is no leaf {index} in a tree of {size}.")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_hash(middle, end, node))
            end = middle
        else:
            path.append(range_hash(start, middle, node))
            start = middle
    return tuple(reversed(path))


def consistency_proof(old: int, new: int, node: Nodes) -> tuple[bytes, ...]:
    """Proof that the tree of `old` leaves is a prefix of the tree of `new` (RFC 6962 section 2.1.2).

    Empty when `old` is 0 or equal to `new`. Raises InvalidInput `size_out_of_range`.
    """
    if not 0 <= old <= new:
        raise InvalidInput("size_out_of_range", f"A tree of {old} is no prefix of a tree of {new}.")
    if old in (0, new):
        return ()
    path: list[bytes] = []
    start, end, whole = 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_hash(middle, end, node))
            end = middle
        else:
            path.append(range_hash(start, middle, node))
            start, whole = middle, False
    if not whole:
        path.append(range_hash(start, end, node))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that leaf hash `leaf` is at `index` in the tree (size, root) (RFC 9162 section 2.1.3.2).

    Raises VerificationFailed `inclusion_proof`.
    """
    if not 0 <= index < size or len(proof) > MAX_PROOF:
        raise VerificationFailed("inclusion_proof", f"There is no leaf {index} in a tree of {size}.")
    first, last, total = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise VerificationFailed("inclusion_proof", "The inclusion proof is too long.")
        if first & 1 or first == last:
            total = node_hash(step, total)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            total = node_hash(total, step)
        first, last = first >> 1, last >> 1
    if last or total != root:
        raise VerificationFailed("inclusion_proof", "The inclusion proof does not lead to the root.")


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], *, old_root: bytes, new_root: bytes
) -> None:
    """Check that tree (old, old_root) is a prefix of (new, new_root) (RFC 9162 section 2.1.4.2).

    Size 0 must have the root of the empty tree. Raises VerificationFailed `consistency_proof`.
    """
    _check_empty(old, old_root)
    _check_empty(new, new_root)
    if not 0 <= old <= new or len(proof) > MAX_PROOF:
        raise VerificationFailed("consistency_proof", f"A tree of {old} is no prefix of a tree of {new}.")
    if old in (0, new):
        if proof or (old == new and old_root != new_root):
            raise VerificationFailed("consistency_proof", "The two trees of one size differ.")
        return
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps or _walk(old - 1, new - 1, steps) != (old_root, new_root):
        raise VerificationFailed("consistency_proof", "The consistency proof does not lead to both roots.")


def _walk(first: int, last: int, steps: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The two roots that a consistency proof leads to, None when its length is wrong."""
    while first & 1:
        first, last = first >> 1, last >> 1
    old_total = new_total = steps[0]
    for step in steps[1:]:
        if last == 0:
            return None
        if first & 1 or first == last:
            old_total, new_total = node_hash(step, old_total), node_hash(step, new_total)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            new_total = node_hash(new_total, step)
        first, last = first >> 1, last >> 1
    return None if last else (old_total, new_total)


def _split(width: int) -> int:
    """The largest power of two smaller than `width` (> 1)."""
    return 1 << ((width - 1).bit_length() - 1)


def _check_empty(size: int, root: bytes) -> None:
    if size == 0 and root != EMPTY_ROOT:
        raise VerificationFailed("empty_root", "A tree of size 0 has another root than the empty tree's.")
