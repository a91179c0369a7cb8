"""Slivers of a blob in a file, pair by pair: of each the primary, then the secondary. Written column by
column while the blob is encoded, with bounded memory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from hallmark.hub.blob_metadata import BlobMetadata, Kind
from hallmark.hub.shape import Shape, shape_of
from hallmark.hub.slivers import line_of, pair_size, sliver_size
from hallmark.hub.walrus import Source, encode

TOGETHER: Final = 8 << 20
"""Bytes of columns that are held before they are written as pieces of rows."""


def encode_slivers(
    source: Source, length: int, descriptor: int, pairs: Sequence[int], *, shards: int, start: int = 0
) -> BlobMetadata:
    """Encode a blob, and write the slivers of these pairs into an open file from `start` on. The metadata.

    Raises as `shape_of`, and OSError.
    """
    return encode(source, length, shards, _Writer(shape_of(length, shards), descriptor, pairs, start))


class _Writer:
    """Takes columns in order (see `encode`)."""

    def __init__(self, shape: Shape, descriptor: int, pairs: Sequence[int], start: int) -> None:
        self._shape, self._descriptor = shape, descriptor
        size = pair_size(shape)
        self._places = [(pair, start + index * size) for index, pair in enumerate(pairs)]
        self._secondary = {line_of(shape, pair, Kind.SECONDARY): place for pair, place in self._places}
        self._group = max(1, TOGETHER // (shape.shards * shape.symbol))
        self._held: list[list[bytes]] = []

    def __call__(self, index: int, symbols: list[bytes]) -> None:
        shape = self._shape
        place = self._secondary.get(index)
        if place is not None:
            column = b"".join(symbols[: shape.rows])
            write_at(self._descriptor, column, place + sliver_size(shape, Kind.PRIMARY))
        if index < shape.columns:
            self._held.append(symbols)
            if len(self._held) == self._group or index == shape.columns - 1:
                self._flush(index + 1 - len(self._held))

    def _flush(self, first: int) -> None:
        held, self._held = self._held, []
        for pair, place in self._places:
            part = b"".join([symbols[pair] for symbols in held])
            write_at(self._descriptor, part, place + first * self._shape.symbol)


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of it at an offset. Raises OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
