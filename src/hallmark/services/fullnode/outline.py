"""The outline of a log of some size: the root over every 256 leaves, and the leaf hashes behind the last of
them. With it, leaves of a long log are checked bundle by bundle as they come, before any is judged, and no
more than a few bundles are held at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hallmark.core.merkle import CompactRange, leaf_hash, root
from hallmark.ledger.tiles import WIDTH

HASH = 32


class Outline(msgspec.Struct, frozen=True):
    """Hashes one behind the other, 32 bytes each: `bundles` are C2SP tiles of level 1, `rest` is the partial
    tile of level 0.
    """

    bundles: bytes
    rest: bytes

    @property
    def size(self) -> int:
        """How many leaves the log has."""
        return len(self.bundles) // HASH * WIDTH + len(self.rest) // HASH

    def root(self) -> bytes:
        """The log's root; 32 bytes."""
        upper, lower = CompactRange(), CompactRange()
        upper.extend(_split(self.bundles))
        lower.extend(_split(self.rest))
        return CompactRange(self.size, [*upper.peaks, *lower.peaks]).root()

    def holds(self, start: int, leaves: Sequence[bytes]) -> bool:
        """Whether these are the leaves from `start` on, which is where a bundle begins; they end where one
        ends or where the log does.
        """
        hashes = [leaf_hash(leaf) for leaf in leaves]
        for at in range(0, len(hashes), WIDTH):
            bundle, number = hashes[at : at + WIDTH], (start + at) // WIDTH
            if number * WIDTH + len(bundle) > self.size:
                return False
            if number < len(self.bundles) // HASH:
                if len(bundle) < WIDTH or root(bundle) != self.bundle(number):
                    return False
            elif b"".join(bundle) != self.rest:
                return False
        return True

    def bundle(self, number: int) -> bytes:
        """The root over the leaves of a full bundle; 32 bytes."""
        return self.bundles[number * HASH : (number + 1) * HASH]


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]
