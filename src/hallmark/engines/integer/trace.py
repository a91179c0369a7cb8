r"""The trace of a run: a Merkle tree over what every layer made of every token.

    leaf  = u32be position || u32be token || u16be layer || SHA-256(state)          42 bytes
    state = the residual of that layer at that position, int32le each
    root  = RFC 6962 over the leaves, position by position, within one layer 1, 2, ...

`token` is what stood at the position. A leaf's index says its place: position * layers + layer - 1.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from hallmark.core.merkle import CompactRange, leaf_hash
from hallmark.engines.integer.numbers import Floats
from hallmark.engines.protocol import Trace

LEAF: Final = struct.Struct(">IIH")
LEAF_SIZE: Final = LEAF.size + 32


class Tracer:
    """Makes the trace of one sequence. `leaves` are its leaves' bytes; kept only where asked for. `told` is
    the trace as of the token that was given out last: states of what others' steps ran ahead are not in it.
    """

    def __init__(self, layers: int, *, keep: bool = False) -> None:
        self._layers = layers
        self._tree = CompactRange()
        self._position = 0
        self.told = self.trace()
        self.leaves: list[bytes] | None = [] if keep else None

    def add(self, tokens: Sequence[int], states: Sequence[Floats]) -> None:
        """Take the next positions: their tokens, and for each layer the rows of these positions."""
        held = [np.ascontiguousarray(rows.astype("<i4")) for rows in states]
        for at, token in enumerate(tokens):
            for layer, rows in enumerate(held, start=1):
                digest = hashlib.sha256(rows[at].data).digest()
                leaf = LEAF.pack(self._position, token, layer) + digest
                self._tree.append(leaf_hash(leaf))
                if self.leaves is not None:
                    self.leaves.append(leaf)
            self._position += 1

    def trace(self) -> Trace:
        """The trace so far."""
        return Trace(tuple(self._tree.peaks), self._tree.size)


def place_of(leaf: bytes) -> tuple[int, int, int]:
    """Position, token and layer of a leaf of `LEAF_SIZE` bytes."""
    position, token, layer = LEAF.unpack_from(leaf)
    return position, token, layer
