"""Who was shown in which place how often: sums of a period, and nothing of anybody who looked.

A period is an hour, as the seed's is: whoever has the seed, the records and this table can compute which
order should have been shown, and compare. Each period's table is a document with the digest of the period
before that had one, so that none can be changed or left out later without every later digest being another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from hallmark.core.document import Document, Hex32, Uint63, hex0x
from hallmark.core.hashing import ZERO32
from hallmark.discovery.ranking import EVERY, FIRST

PLACES: Final = 100
"""Places that are told apart; what stood further down is counted as place 0."""
NONE_BEFORE: Final = hex0x(ZERO32)


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """A label, the artifact that it pointed to (0x-hex, "" for a provider's), a place counted from 1, and how
    often it stood there.
    """

    label: str
    artifact: str
    place: Uint63
    count: Uint63


class Exposure(Document, frozen=True):
    """The table of one period: hours since 1970, the order's seed, and rows in the order of their fields.
    `before` is the digest of the newest earlier period that has one, zero for the first.
    """

    TAG = "hallmark/exposure/v1"

    period: Uint63
    seed: Hex32
    before: Hex32
    rows: tuple[Shown, ...]


class Share(msgspec.Struct, frozen=True):
    """A label's part of what was shown: all of it, in the first ten places, and in places that are drawn."""

    label: str
    artifact: str
    shown: int
    first_ten: int
    drawn: int


def place_of(place: int) -> int:
    """The place under which one is counted."""
    return place if 0 < place <= PLACES else 0


def table(period: int, seed: str, before: str, counts: Mapping[tuple[str, str, int], int]) -> Exposure:
    """A period's document from its sums."""
    rows = sorted(Shown(label, artifact, place, count) for (label, artifact, place), count in counts.items())
    return Exposure(period, seed, before, tuple(rows))


def shares(rows: Iterable[Shown]) -> tuple[Share, ...]:
    """What each label had of it, by label and artifact."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        sums = found.setdefault((row.label, row.artifact), [0, 0, 0])
        sums[0] += row.count
        sums[1] += row.count * (0 < row.place <= EVERY)
        sums[2] += row.count * (row.place > 0 and (row.place - 1) % EVERY == FIRST)
    return tuple(Share(*key, *sums) for key, sums in sorted(found.items()))
