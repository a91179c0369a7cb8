"""When a negative state began: the admission time of the log entry that brought it about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core.entries import Kind, decode, split_leaf
from hallmark.core.statements import Compromise, Revocation, text_of
from hallmark.verification.fold import Replica

WATCHED: Final = frozenset((Kind.COMPROMISE, Kind.REVOCATION, Kind.VERDICT, Kind.FAULT))
KIND_AT: Final = 9
"""A leaf is u64be admitted || u8 version || u8 kind || ..."""


class Taken(msgspec.Struct, frozen=True):
    """An entry that takes something back: its position, when it was admitted (unix ms), from which position
    on it counts, and its reason code.
    """

    position: int
    admitted: int
    since: int
    reason: str


class Beginnings:
    """Times (unix ms) of the few entries that take something back. `take` is a follower's tap."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._times: dict[int, int] = {}
        self._compromises: dict[bytes, list[Taken]] = {}
        self._revocations: dict[bytes, list[Taken]] = {}

    def take(self, index: int, leaf: bytes) -> None:
        """Note an entry that was folded and holds."""
        if leaf[KIND_AT] not in WATCHED or self._replica.failures(index):
            return
        admitted, data = split_leaf(leaf)
        self._times[index] = admitted
        match decode(data).statement:
            case Compromise(key=key, since=since, reason=reason):
                found = Taken(index, admitted, since, text_of(reason))
                self._compromises.setdefault(key, []).append(found)
            case Revocation(document=document, since=since, reason=reason):
                found = Taken(index, admitted, since, text_of(reason))
                self._revocations.setdefault(document, []).append(found)

    def objected(self, position: int) -> int:
        """When the verdict or fault at `position` was logged; 0 when none was."""
        return self._times.get(position, 0)

    def compromises(self, key: bytes, index: int) -> tuple[Taken, ...]:
        """Entries by which what `key` said at `index` is not to be believed, in log order."""
        return tuple(taken for taken in self._compromises.get(key, ()) if index >= taken.since)

    def revocations(self, measurement: bytes, index: int) -> tuple[Taken, ...]:
        """Entries by which `measurement` does not count at `index`, in log order."""
        return tuple(taken for taken in self._revocations.get(measurement, ()) if index >= taken.since)

    def compromised(self, key: bytes, index: int) -> int:
        """Since when (unix ms) the log takes back what `key` said at `index`; 0: it does not."""
        return _first(self.compromises(key, index))

    def revoked(self, measurement: bytes, index: int) -> int:
        """Since when (unix ms) the log says that `measurement` does not count at `index`; 0: it does not."""
        return _first(self.revocations(measurement, index))


def _first(found: Sequence[Taken]) -> int:
    return found[0].admitted if found else 0
