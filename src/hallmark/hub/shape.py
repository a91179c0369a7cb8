"""The encoding matrix of a blob: how many rows, columns and bytes for each symbol."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, TooLarge

SHARDS: Final = 1000
"""Shards of the Walrus network. Artifact ids always use this number."""
MAX_SYMBOL: Final = 65_534


class Shape(msgspec.Struct, frozen=True):
    """The encoding matrix of one blob: rows, columns and symbol size in bytes, for `shards` shards."""

    shards: int
    rows: int
    columns: int
    symbol: int
    length: int


def shape_of(length: int, shards: int = SHARDS) -> Shape:
    """The encoding matrix for a blob of `length` bytes.

    Raises InvalidInput `bad_shards` below 4 shards, TooLarge `blob_too_large` (13.6 GiB at 1000 shards).
    """
    if not 4 <= shards <= 65_535:
        raise InvalidInput("bad_shards", "Walrus encodes for 4 to 65,535 shards.")
    faulty = (shards - 1) // 3
    columns = shards - faulty
    rows = columns - faulty
    symbol = -(-max(length, 1) // (rows * columns))
    symbol += symbol % 2
    if symbol > MAX_SYMBOL:
        limit = MAX_SYMBOL * rows * columns
        raise TooLarge("blob_too_large", f"A blob for {shards} shards has at most {limit} bytes.")
    return Shape(shards, rows, columns, symbol, length)


def encoded_size(length: int, shards: int = SHARDS) -> int:
    """Bytes that Walrus stores for a blob of `length` bytes: all slivers, and each shard's copy of the
    metadata. Raises as `shape_of`.
    """
    shape = shape_of(length, shards)
    return shards * (64 * shards + 32) + shards * (shape.rows + shape.columns) * shape.symbol
