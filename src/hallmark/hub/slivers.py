"""Slivers: checking them, taking symbols of them with their proofs, and making lost ones of others.

A blob's matrix has n rows of c symbols and n columns of r symbols that matter: the rest of each follows by
Reed-Solomon. Pair i is row i (primary) and column n-1-i (secondary). Each row crosses each column in one
symbol, so a lost row is made of one symbol from each of c columns, a lost column of one from each of r rows,
and the blob of any r rows: the first r rows, one behind the other, are the blob itself and its padding.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import reed_solomon_leopard

from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.hub.blob_metadata import BlobMetadata, Kind
from hallmark.hub.shape import Shape
from hallmark.hub.walrus_tree import hash_leaf, merkle_path, merkle_root, path_length, root_by_path


class ProvenSymbol(msgspec.Struct, frozen=True):
    """One symbol of an extended sliver, and its Merkle path (32-byte hashes, lowest first) in it."""

    data: bytes
    path: bytes


def symbols_of(shape: Shape, kind: Kind) -> int:
    """How many symbols a sliver has."""
    return shape.columns if kind is Kind.PRIMARY else shape.rows


def sliver_size(shape: Shape, kind: Kind) -> int:
    """Bytes of a sliver."""
    return symbols_of(shape, kind) * shape.symbol


def pair_size(shape: Shape) -> int:
    """Bytes of both slivers of a pair."""
    return (shape.rows + shape.columns) * shape.symbol


def line_of(shape: Shape, pair: int, kind: Kind) -> int:
    """Which row, or which column, a sliver is."""
    return pair if kind is Kind.PRIMARY else shape.shards - 1 - pair


def extended(shape: Shape, kind: Kind, sliver: bytes) -> list[bytes]:
    """All n symbols of the row or column that a sliver begins."""
    size = shape.symbol
    symbols = [sliver[at : at + size] for at in range(0, len(sliver), size)]
    more: list[bytes] = reed_solomon_leopard.encode(symbols, shape.shards - symbols_of(shape, kind))
    return symbols + more


def verify_sliver(metadata: BlobMetadata, pair: int, kind: Kind, sliver: bytes) -> bytes:
    """The sliver, when it is the one that the metadata names. Raises VerificationFailed `sliver_wrong`."""
    shape = metadata.shape
    if len(sliver) == sliver_size(shape, kind):
        leaves = [hash_leaf(symbol) for symbol in extended(shape, kind, sliver)]
        if merkle_root(leaves) == metadata.root_of(pair, kind):
            return sliver
    raise VerificationFailed(
        "sliver_wrong",
        "A sliver is not the one that the blob's metadata names.",
        "Nothing of it was used; another node has others to make it of.",
    )


def prove_symbols(shape: Shape, kind: Kind, sliver: bytes, indices: tuple[int, ...]) -> list[ProvenSymbol]:
    """Symbols of an extended sliver by index, each with its path."""
    symbols = extended(shape, kind, sliver)
    leaves = [hash_leaf(symbol) for symbol in symbols]
    return [ProvenSymbol(symbols[index], merkle_path(leaves, index)) for index in indices]


def verify_symbol(shape: Shape, root: bytes, index: int, symbol: ProvenSymbol) -> bytes:
    """The symbol, when it stands at `index` of the extended sliver with this root.

    Raises VerificationFailed `symbol_wrong`.
    """
    fits = len(symbol.data) == shape.symbol and len(symbol.path) == path_length(shape.shards)
    stands = fits and 0 <= index < shape.shards
    if stands and root_by_path(hash_leaf(symbol.data), index, symbol.path) == root:
        return symbol.data
    raise VerificationFailed(
        "symbol_wrong",
        "A symbol and its Merkle path do not lead to the sliver's root.",
        "Nothing of it was used.",
    )


def recover_sliver(metadata: BlobMetadata, pair: int, kind: Kind, symbols: Mapping[int, bytes]) -> bytes:
    """A lost sliver, of the symbols in which slivers of other pairs cross it: by pair, each verified.

    Raises Unavailable `sliver_unrecoverable` where there are too few, VerificationFailed `sliver_wrong`.
    """
    shape = metadata.shape
    needed = symbols_of(shape, kind)
    if len(symbols) < needed:
        raise Unavailable(
            "sliver_unrecoverable",
            f"A lost sliver needs {needed} symbols of others; {len(symbols)} were found.",
            "Start more storage nodes, then try again.",
        )
    crossing = {line_of(shape, other, kind.other): data for other, data in symbols.items()}
    found = _restored(crossing, needed, shape, 1)
    return verify_sliver(metadata, pair, kind, b"".join(found))


def restore_rows(shape: Shape, rows: Mapping[int, bytes], first: int, count: int) -> list[bytes]:
    """The symbols [first, first + count) of each of the r source rows, of the same of any r of the n rows.

    Raises Unavailable `blob_unrecoverable` for fewer rows.
    """
    if len(rows) < shape.rows:
        raise unrecoverable(shape, len(rows))
    begin, end = first * shape.symbol, (first + count) * shape.symbol
    parts = {row: rows[row][begin:end] for row in sorted(rows)[: shape.rows]}
    return _restored(parts, shape.rows, shape, count)


def _restored(present: Mapping[int, bytes], sources: int, shape: Shape, lanes: int) -> list[bytes]:
    """See `restore_symbols`, which brings numpy: processes that decode nothing do without its memory."""
    from hallmark.hub.sliver_code import restore_symbols

    return restore_symbols(present, sources, shape.shards, lanes)


def unrecoverable(shape: Shape, found: int) -> Unavailable:
    """The error for a blob of which too few rows are left."""
    return Unavailable(
        "blob_unrecoverable",
        f"A blob is read from {shape.rows} primary slivers; {found} were found.",
        "Nothing was given out. Start more storage nodes, then try again.",
    )
