"""Slivers: what verifies, what can be made of what is left, and what cannot."""

from __future__ import annotations

import random

import numpy as np
import pytest
import reed_solomon_leopard

from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.hub import blob_id
from hallmark.hub.blob_metadata import BlobMetadata, Kind, metadata_size, verify_metadata
from hallmark.hub.sliver_code import extend, restore
from hallmark.hub.slivers import (
    ProvenSymbol,
    line_of,
    prove_symbols,
    recover_sliver,
    restore_rows,
    symbols_of,
    verify_sliver,
    verify_symbol,
)
from hallmark.testing.committees import slivers_of

SHARDS = 22
DATA = bytes((7 * i + 13) % 256 for i in range(5_000))


@pytest.fixture(scope="module")
def encoded() -> tuple[BlobMetadata, dict[tuple[int, Kind], bytes]]:
    """One encoded blob."""
    return slivers_of(DATA, SHARDS)


@pytest.mark.parametrize(
    ("sources", "total", "lanes", "size"),
    [(8, 22, 15, 2), (15, 22, 33, 6), (8, 22, 7, 64), (8, 22, 5, 66), (2, 4, 3, 190), (334, 1000, 3, 62)],
)
def test_many_codewords_at_once_are_the_same_as_one_by_one(
    sources: int, total: int, lanes: int, size: int
) -> None:
    """Whatever a symbol's length: packed codewords give each its symbols, and any k of n bring it back."""
    dice = random.Random(size)
    data = np.frombuffer(dice.randbytes(lanes * sources * size), np.uint8).reshape(lanes, sources, size)
    more = extend(data, total)
    for lane, got in zip(data, more, strict=True):
        want = reed_solomon_leopard.encode([symbol.tobytes() for symbol in lane], total - sources)
        assert got.tobytes() == b"".join(want)
    whole = np.concatenate([data, more], axis=1)
    left = dice.sample(range(total), sources)
    assert (restore({index: whole[:, index] for index in left}, sources, total) == data).all()


def test_every_sliver_verifies_and_the_id_is_the_blobs(
    encoded: tuple[BlobMetadata, dict[tuple[int, Kind], bytes]],
) -> None:
    """Metadata travel as bytes that make the blob ID, and name each sliver."""
    metadata, slivers = encoded
    assert metadata.blob_id == blob_id(DATA, SHARDS)
    read = verify_metadata(metadata.encode(), metadata.blob_id, SHARDS)
    assert len(metadata.encode()) == metadata_size(SHARDS)
    for (pair, kind), sliver in slivers.items():
        assert verify_sliver(read, pair, kind, sliver) == sliver


def test_the_first_rows_are_the_blob(encoded: tuple[BlobMetadata, dict[tuple[int, Kind], bytes]]) -> None:
    """Primary slivers of the source rows are the blob itself, padded."""
    metadata, slivers = encoded
    rows = [slivers[row, Kind.PRIMARY] for row in range(metadata.shape.rows)]
    assert b"".join(rows)[: metadata.length] == DATA


def test_wrong_slivers_are_found(encoded: tuple[BlobMetadata, dict[tuple[int, Kind], bytes]]) -> None:
    """A flipped byte, another pair's sliver, one cut short, one too long, the other kind."""
    metadata, slivers = encoded
    sliver = slivers[3, Kind.PRIMARY]
    flipped = bytes([sliver[0] ^ 1]) + sliver[1:]
    others = (slivers[4, Kind.PRIMARY], sliver[:-1], sliver + b"\0", slivers[3, Kind.SECONDARY], b"")
    for wrong in (flipped, *others):
        with pytest.raises(VerificationFailed) as error:
            verify_sliver(metadata, 3, Kind.PRIMARY, wrong)
        assert error.value.reason == "sliver_wrong"


def test_wrong_metadata_are_found(encoded: tuple[BlobMetadata, dict[tuple[int, Kind], bytes]]) -> None:
    """Another length, another root, cut short, another encoding, of another blob, of other shards."""
    metadata, _ = encoded
    data, identifier = metadata.encode(), metadata.blob_id
    longer = BlobMetadata(metadata.length + 1, metadata.hashes).encode()
    huge = BlobMetadata((1 << 64) - 1, metadata.hashes)
    for wrong in (longer, data[:-1] + b"x", data[:-1], data + b"\0", b"\0" + data[1:], b""):
        with pytest.raises(VerificationFailed) as error:
            verify_metadata(wrong, identifier, SHARDS)
        assert error.value.reason == "blob_metadata_wrong"
    for wrong, named, shards in (
        (data, bytes(32), SHARDS),
        (huge.encode(), huge.blob_id, SHARDS),
        (data, identifier, 10),
    ):
        with pytest.raises(VerificationFailed):
            verify_metadata(wrong, named, shards)


@pytest.mark.parametrize("seed", range(4))
def test_any_third_of_the_rows_is_the_blob(
    encoded: tuple[BlobMetadata, dict[tuple[int, Kind], bytes]], seed: int
) -> None:
    """Any r of the n primary slivers bring the blob back, in pieces of any width; one fewer does not."""
    metadata, slivers = encoded
    shape = metadata.shape
    left = random.Random(seed).sample(range(SHARDS), shape.rows)
    rows = {row: slivers[row, Kind.PRIMARY] for row in left}
    found = [bytearray() for _ in range(shape.rows)]
    for first in range(0, shape.columns, 4):
        count = min(4, shape.columns - first)
        for whole, part in zip(found, restore_rows(shape, rows, first, count), strict=True):
            whole += part
    assert b"".join(found)[: metadata.length] == DATA
    rows.popitem()
    with pytest.raises(Unavailable) as error:
        restore_rows(shape, rows, 0, 1)
    assert error.value.reason == "blob_unrecoverable"


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("pair", [0, 9, 21])
def test_a_lost_sliver_is_made_of_others_symbols(
    encoded: tuple[BlobMetadata, dict[tuple[int, Kind], bytes]], pair: int, kind: Kind
) -> None:
    """Each symbol has its path and verifies alone; as many as a sliver has are enough, one fewer is not."""
    metadata, slivers = encoded
    shape = metadata.shape
    line, needed = line_of(shape, pair, kind), symbols_of(shape, kind)
    symbols: dict[int, bytes] = {}
    others = [other for other in range(SHARDS) if other != pair]
    for other in random.Random(pair).sample(others, needed):
        (proven,) = prove_symbols(shape, kind.other, slivers[other, kind.other], (line,))
        root = metadata.root_of(other, kind.other)
        symbols[other] = verify_symbol(shape, root, line, proven)
        for wrong in (
            ProvenSymbol(bytes(shape.symbol), proven.path),
            ProvenSymbol(proven.data, proven.path[:-32]),
            ProvenSymbol(proven.data, proven.path + bytes(32)),
            ProvenSymbol(proven.data[:-1], proven.path),
        ):
            with pytest.raises(VerificationFailed):
                verify_symbol(shape, root, line, wrong)
        for index in (line ^ 1, -1, SHARDS):
            with pytest.raises(VerificationFailed):
                verify_symbol(shape, root, index, proven)
    assert recover_sliver(metadata, pair, kind, symbols) == slivers[pair, kind]
    other = next(iter(symbols))
    with pytest.raises(VerificationFailed):
        recover_sliver(metadata, pair, kind, symbols | {other: bytes(shape.symbol)})
    del symbols[other]
    with pytest.raises(HallmarkError) as error:
        recover_sliver(metadata, pair, kind, symbols)
    assert error.value.reason == "sliver_unrecoverable"
