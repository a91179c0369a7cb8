"""C2SP tlog-tiles: the static paths and binary forms in which a log serves hashes and leaves.

    tile/<L>/<N>[.p/<W>]         W (1 to 255; full: 256) x 32-byte hashes of perfect subtrees of 256^L leaves
    tile/entries/<N>[.p/<W>]     entry bundle: W x (u16be length || leaf bytes)

N is written in groups of three digits, all but the last with a leading `x`: 1234067 is `x001/x234/067`.
Source: c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

import msgspec

from hallmark.core.errors import InvalidInput, TooLarge

WIDTH = 256
LEVEL_BITS = 8
MAX_LEVEL = 63
MAX_LEAF = 65_535

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class TileName(msgspec.Struct, frozen=True):
    """What a path names: `level` is None for an entry bundle; `width` is 256 for a full one."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """The path, without a leading slash."""
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{index_path(self.index)}{partial}"

    @classmethod
    def parse(cls, path: str) -> TileName:
        """Read a path. Raises InvalidInput `bad_tile_path`."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise InvalidInput("bad_tile_path", "This is not a path of a tile.")
        level = None if match["level"] == "entries" else int(match["level"])
        width = int(match["width"]) if match["width"] else WIDTH
        name = cls(level, int(match["index"].replace("/", "").replace("x", "")), width)
        if (level or 0) > MAX_LEVEL or width > WIDTH or name.path != path:
            raise InvalidInput("bad_tile_path", "This is not a path of a tile.")
        return name


def index_path(index: int) -> str:
    """A tile's index in groups of three digits."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    return "/".join(reversed(groups))


def entry_bundles(start: int, end: int) -> list[TileName]:
    """The bundles that hold leaves [start, end) of a tree of size `end`; the last may be partial."""
    first, last = start // WIDTH, -(-end // WIDTH)
    return [TileName(None, index, min(WIDTH, end - index * WIDTH)) for index in range(first, last)]


def encode_bundle(leaves: Iterable[bytes]) -> bytes:
    """An entry bundle. Raises TooLarge `leaf_too_large`."""
    parts: list[bytes] = []
    for leaf in leaves:
        if len(leaf) > MAX_LEAF:
            raise TooLarge("leaf_too_large", f"A leaf has at most {MAX_LEAF} bytes, this one {len(leaf)}.")
        parts += (len(leaf).to_bytes(2, "big"), leaf)
    return b"".join(parts)


def decode_bundle(data: bytes) -> list[bytes]:
    """The leaves of an entry bundle. Raises InvalidInput `bad_bundle`."""
    leaves: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        try:
            (length,) = struct.unpack_from(">H", data, at)
        except struct.error as error:
            raise InvalidInput("bad_bundle", "The entry bundle is cut off.") from error
        at += 2
        if at + length > end:
            raise InvalidInput("bad_bundle", "The entry bundle is cut off.")
        leaves.append(data[at : at + length])
        at += length
    return leaves
