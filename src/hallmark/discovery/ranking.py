"""The order in which models are shown, as a function of what anybody can look up: records and a seed.

1. What has a record stands first, by its lower bound; equal bounds by draw.
2. What has none stands behind that, by draw: no name is before another for how it is spelt.
3. Every tenth place, from the third on, is a newcomer's (fewer than `ESTABLISHED` words), by draw: the marked
   places. A newcomer stands once, wherever it comes first.
4. A draw is SHA-256 of the seed and the thing. Among newcomers it goes by rounds: one of each owner before
   a second of anybody, so that who publishes a hundred labels is not drawn a hundred times.

How often something is used is no argument of anything here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from hallmark.core.hashing import sha256
from hallmark.discovery.record import Record

TAG: Final = b"hallmark/discovery/v1\0"
EVERY: Final = 10
FIRST: Final = 2
"""Places are counted from 0: the third, the thirteenth, ..."""
ESTABLISHED: Final = 20
PERIOD_MS: Final = 3_600_000


class Candidate(msgspec.Struct, frozen=True):
    """What may be shown: its name among all, whose it is, and its record."""

    name: bytes
    owner: bytes
    record: Record

    @property
    def is_new(self) -> bool:
        """Whether too little was said of it to go by."""
        return self.record.count < ESTABLISHED


class Placed(msgspec.Struct, frozen=True):
    """A candidate's number, and whether it got its place by draw as a newcomer."""

    number: int
    drawn: bool


class Order(msgspec.Struct, frozen=True):
    """Numbers of candidates, best first; and those of newcomers in the order of their draw."""

    ranked: tuple[int, ...]
    newcomers: tuple[int, ...]


def seed_of(network: bytes, size: int, root: bytes) -> bytes:
    """The seed of a period: the log's root (32 bytes) over what it took before the period began."""
    return sha256(TAG, network, size.to_bytes(8, "big"), root)


def draw(seed: bytes, name: bytes) -> bytes:
    """A thing's lot: the smaller the earlier."""
    return sha256(TAG, seed, name)


def order(candidates: Sequence[Candidate], seed: bytes) -> Order:
    """Rules 1, 2 and 4."""
    lots = [draw(seed, one.name) for one in candidates]
    turns = _turns(candidates, lots, seed)

    def rank(number: int) -> tuple[int, int, bytes]:
        bound = candidates[number].record.bound
        return (1, *turns[number]) if bound is None else (-bound, 0, lots[number])

    newcomers = sorted(turns, key=turns.__getitem__)
    return Order(tuple(sorted(range(len(candidates)), key=rank)), tuple(newcomers))


def merged(ranked: Iterable[int], newcomers: Iterable[int]) -> Iterator[Placed]:
    """Rule 3: the two orders as one, each number once."""
    shown: set[int] = set()
    best, drawn = iter(ranked), iter(newcomers)
    place = 0
    while True:
        found = _next(drawn, shown) if place % EVERY == FIRST else None
        is_drawn = found is not None
        if found is None:
            found = _next(best, shown)
        if found is None:
            return
        shown.add(found)
        yield Placed(found, is_drawn)
        place += 1


def _next(numbers: Iterator[int], shown: set[int]) -> int | None:
    return next((number for number in numbers if number not in shown), None)


def _turns(
    candidates: Sequence[Candidate], lots: Sequence[bytes], seed: bytes
) -> dict[int, tuple[int, bytes]]:
    """Of each newcomer its round, and its owner's lot in that round."""
    by_owner: dict[bytes, list[tuple[bytes, int]]] = {}
    for number, one in enumerate(candidates):
        if one.is_new:
            by_owner.setdefault(one.owner, []).append((lots[number], number))
    found = {}
    for owner, owned in by_owner.items():
        for turn, (_, number) in enumerate(sorted(owned)):
            found[number] = turn, draw(seed, turn.to_bytes(4, "big") + owner)
    return found
