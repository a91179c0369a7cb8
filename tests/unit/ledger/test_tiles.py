"""Tile paths and entry bundles as c2sp.org/tlog-tiles writes them."""

from __future__ import annotations

import pytest

from hallmark.core.errors import InvalidInput, TooLarge
from hallmark.ledger.tiles import TileName, decode_bundle, encode_bundle, entry_bundles, index_path


def test_paths() -> None:
    """Indices are grouped by three digits; partial tiles carry their width."""
    assert index_path(1234067) == "x001/x234/067"
    for name, path in (
        (TileName(0, 0), "tile/0/000"),
        (TileName(0, 273, 112), "tile/0/273.p/112"),
        (TileName(1, 1234067), "tile/1/x001/x234/067"),
        (TileName(None, 1000, 1), "tile/entries/x001/000.p/1"),
        (TileName(63, 999), "tile/63/999"),
    ):
        assert name.path == path
        assert TileName.parse(path) == name


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x01/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/entries/000.p/0",
        "tile/entries/000.p/256",
        "tile/entries/000.p/257",
        "tile/0/000.p/257",
        "tile/entries/000.p/999",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/entries/x1/000",
        "tile/data/000",
    ],
)
def test_bad_paths(path: str) -> None:
    """Every resource has one path; others are refused."""
    with pytest.raises(InvalidInput) as caught:
        TileName.parse(path)
    assert caught.value.reason == "bad_tile_path"


def test_bundles() -> None:
    """Bundles come back as they were, and cut ones are refused."""
    leaves = [b"", b"a", b"b" * 65_535]
    data = encode_bundle(leaves)
    assert data[:5] == b"\0\0\0\1a"
    assert decode_bundle(data) == leaves
    assert decode_bundle(b"") == []
    for cut in (1, 3, len(data) - 1):
        with pytest.raises(InvalidInput):
            decode_bundle(data[:cut] if cut != 3 else data[: len(data) - 70])
    with pytest.raises(TooLarge):
        encode_bundle([b"b" * 65_536])


def test_which_bundles_hold_a_range() -> None:
    """A reader is told the full bundles and the partial last one."""
    assert [name.path for name in entry_bundles(250, 600)] == [
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
    ]
    assert entry_bundles(0, 0) == []
    assert [name.path for name in entry_bundles(256, 512)] == ["tile/entries/001"]
