"""The layout of quilts. That it is Walrus's own is shown beside its published encoder, in
`tests/integration/test_walrus_clients.py`.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.blob_ids import blob_text
from hallmark.core.errors import InvalidInput, NotFound, TooLarge, VerificationFailed
from hallmark.hub.quilt import (
    INDEX_HEAD,
    Columns,
    Grid,
    Part,
    Quilt,
    grid_of,
    index_length,
    parse_patch_id,
    read_index,
    read_patch_head,
)
from hallmark.hub.walrus import MemorySource

SHARDS = 22
QUILT_ID = bytes(range(32))
NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).filter(
    lambda name: not name.startswith("_") and name == name.rstrip()
)
FILES = st.dictionaries(NAMES, st.binary(max_size=600), min_size=1, max_size=8)
TAGS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


def part(name: str, data: bytes, tags: dict[str, str] | None = None) -> Part:
    """A file that goes into a quilt."""
    return Part(name, tags or {}, len(data), MemorySource(data))


def columns(data: bytes, grid: Grid, start: int, end: int, cut: int) -> bytes:
    """Columns of a quilt that comes in pieces."""
    wanted, joined = Columns(grid, start, end), bytearray((end - start) * grid.column)
    for at in range(0, len(data), cut):
        for offset, piece in wanted.pieces(data[at : at + cut]):
            joined[offset : offset + len(piece)] = piece
    return bytes(joined)


@given(FILES, TAGS, st.integers(1, 5_000))
def test_what_goes_in_comes_out(files: dict[str, bytes], tags: dict[str, str], cut: int) -> None:
    """Every file of a quilt is where its index says, with its name and tags, however the quilt comes."""
    quilt = Quilt([part(name, data, tags) for name, data in files.items()], SHARDS)
    data = b"".join(quilt.row_bytes())
    grid = grid_of(len(data), SHARDS)
    assert grid == quilt.grid
    first = columns(data, grid, 0, 10, cut)
    index = read_index(first[: index_length(first[:INDEX_HEAD])], grid)
    assert index == quilt.patches
    assert [one.identifier for one in index] == sorted(files, key=str.encode)
    for one in index:
        joined = columns(data, grid, one.start, one.end, cut)
        name, read, start, end = read_patch_head(joined, len(joined))
        assert (name, read, joined[start:end]) == (one.identifier, tags, files[one.identifier])


def test_a_tiny_file_has_the_least_size_at_a_thousand_shards() -> None:
    """One byte makes 445,556 bytes, and a file that sorts before it moves its columns."""
    alone = Quilt([part("b", b"x")])
    assert alone.grid.size == 445_556
    assert (alone.patches[0].start, alone.patches[0].end) == (1, 2)
    beside = Quilt([part("b", b"x"), part("a", b"x")])
    assert (beside.patches[1].identifier, beside.patches[1].start) == ("b", 2)


def test_names_of_patches_round_trip() -> None:
    """A patch's name holds the quilt's ID and the columns."""
    patch = Quilt([part("a", b"x")], SHARDS).patches[0]
    name = patch.patch_id(QUILT_ID)
    assert len(name) == 50
    assert parse_patch_id(name) == (blob_text(QUILT_ID), patch.start, patch.end)


@pytest.mark.parametrize(
    "text", ["", "A" * 50, "A" * 43, "é" * 50, blob_text(QUILT_ID + bytes([1, 2, 0, 1, 0]), 37)]
)
def test_what_is_no_name_of_a_patch_is_refused(text: str) -> None:
    """Another length, version or order of columns."""
    with pytest.raises(InvalidInput) as error:
        parse_patch_id(text)
    assert error.value.reason == "bad_quilt_patch_id"


@pytest.mark.parametrize(
    "names", [[], [""], ["_a"], ["a "], ["a\n"], ["a\x7f"], ["a", "a"], [f"{n}" for n in range(15)]]
)
def test_names_that_no_quilt_has(names: list[str]) -> None:
    """No file, a name that Walrus refuses, one twice, more files than columns."""
    with pytest.raises(InvalidInput) as error:
        Quilt([part(name, b"x") for name in names], SHARDS)
    assert error.value.reason == "bad_quilt"


def test_limits_of_a_quilt() -> None:
    """Tags of more than 64 KiB and files that no symbol is large enough for."""
    with pytest.raises(InvalidInput):
        Quilt([part("a", b"", {"k": "v" * 70_000})], SHARDS)
    with pytest.raises(TooLarge):
        Quilt([Part("a", {}, 1 << 31, MemorySource(b""))], SHARDS)


def test_another_blob_is_no_quilt() -> None:
    """A length that no quilt has, and a first byte that begins none."""
    with pytest.raises(NotFound):
        grid_of(5, SHARDS)
    for head in (b"", b"\x01", bytes(5)):
        with pytest.raises(NotFound):
            index_length(head)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever stands where an index or a patch is looked for, there is a reason and no other exception."""
    grid = Grid(8, 15, 4)
    for read in (lambda: read_index(data, grid), lambda: read_patch_head(b"\x01" + data, 200)):
        with contextlib.suppress(NotFound, VerificationFailed):
            read()
