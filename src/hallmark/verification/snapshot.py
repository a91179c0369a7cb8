"""Rows of a fold's state that are written whole: what they hold, and how they become bytes.

A row is the SHA-256 of its body, and the body in MessagePack. A row that is not whole is none; neither is one
of another version of the state (`state_version`).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import msgspec

from hallmark.core.documents import AttestationPolicy, ClearingPolicy, Manifest
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.money import Offer
from hallmark.core.registry import Approved, IssuedKeys, Label, Member
from hallmark.verification.attested import Attested
from hallmark.verification.tables import Codec, Journal, Table

HEAD: Final = b"head"
STATED: Final = b"stated"
PAGE: Final = 256
PAGES_KEPT: Final = 64
HASH: Final = len(ZERO32)
Confirms: TypeAlias = Callable[[int, bytes], bool]
"""Whether the log has this root (32 bytes) at this size."""
T = TypeVar("T")
_ENCODER: Final = msgspec.msgpack.Encoder()


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The position that all rows stand for, and what is small there: see `state.FoldState`, `Judgements` and
    `Tree` for what the fields are.
    """

    version: bytes
    network: bytes
    size: int
    last_admitted: int
    edge: tuple[bytes, ...]
    times: bytes
    chain_count: int
    undecided: dict[int, tuple[str, ...]]
    false_verdicts: set[int]
    refuters: dict[int, set[bytes]]
    open: set[int]
    settled: int
    unnamed: set[int]
    bugs: int

    def is_of(self, network: bytes, version: bytes) -> bool:
        """Whether a program whose state has this version may go on from it in a network (32 bytes each). Not
        where a bug of a program had its part: it may be mended by now, or have been a moment's.
        """
        return self.version == version and self.network == network and not self.bugs


class Stated(msgspec.Struct, frozen=True, array_like=True):
    """What statements have established: of members, models and policies. Orders of dictionaries count."""

    members: dict[bytes, Member]
    labels: dict[str, Label]
    manifests: dict[bytes, tuple[int, Manifest]]
    approved: dict[bytes, Approved]
    attestation: list[tuple[int, bytes, AttestationPolicy]]
    clearing: dict[str, list[tuple[int, bytes, ClearingPolicy]]]
    offers: dict[bytes, tuple[int, Offer]]
    epochs: dict[bytes, int]
    issuers: dict[bytes, tuple[IssuedKeys, ...]]
    issuer_keys: dict[bytes, IssuedKeys]
    attested: list[tuple[bytes, bytes, Attested]]
    artifacts: dict[bytes, bytes]


def packed_row(value: msgspec.Struct) -> bytes:
    """The row of a `Head` or `Stated`."""
    body = _ENCODER.encode(value)
    return sha256(body) + body


def unpacked_row(data: bytes, kind: type[T]) -> T | None:
    """What `packed_row` packed; None when it is something else, or of a version whose rows were others."""
    body = data[HASH:]
    if not body or sha256(body) != data[:HASH]:
        return None
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.MsgspecError:
        return None


def _page(data: bytes) -> array[int]:
    found = array("Q")
    found.frombytes(data)
    return found


class Times:
    """When the log took each entry, unix ms: 256 to a page; the last page is not a row yet."""

    def __init__(self, journal: Journal) -> None:
        self.pages: Table[int, array[int]] = Table(
            "times",
            Codec(array.tobytes, _page, f"256 times, u64 {sys.byteorder}-endian"),
            journal,
            dense=True,
            cached=PAGES_KEPT,
        )
        self.last = array("Q")
        self._size = 0

    def append(self, admitted: int) -> None:
        """The next entry's time."""
        self.last.append(admitted)
        self._size += 1
        if len(self.last) == PAGE:
            self.pages[self._size // PAGE - 1] = self.last
            self.last = array("Q")

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self._size:
            raise IndexError(index)
        number, at = divmod(index, PAGE)
        page = self.last if number == self._size // PAGE else self.pages[number]
        return page[at]

    def restore(self, size: int, last: bytes) -> None:
        """Stand at `size` with this last page."""
        self._size, self.last = size, _page(last)
