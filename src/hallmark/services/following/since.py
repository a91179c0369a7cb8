"""When a negative state began: the admission time of the log entry that brought it about."""

from __future__ import annotations

from typing import Final

from hallmark.core.entries import Kind, decode, split_leaf
from hallmark.core.statements import Compromise, Revocation
from hallmark.verification.fold import Replica

WATCHED: Final = frozenset((Kind.COMPROMISE, Kind.REVOCATION, Kind.VERDICT, Kind.FAULT))
KIND_AT: Final = 9
"""A leaf is u64be admitted || u8 version || u8 kind || ..."""


class Beginnings:
    """Times (unix ms) of the few entries that take something back. `take` is a follower's tap."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._times: dict[int, int] = {}
        self._compromises: dict[bytes, list[tuple[int, int]]] = {}
        self._revocations: dict[bytes, list[tuple[int, int]]] = {}

    def take(self, index: int, leaf: bytes) -> None:
        """Note an entry that was folded and holds."""
        if leaf[KIND_AT] not in WATCHED or self._replica.failures(index):
            return
        admitted, data = split_leaf(leaf)
        self._times[index] = admitted
        match decode(data).statement:
            case Compromise(key=key, since=since):
                self._compromises.setdefault(key, []).append((since, admitted))
            case Revocation(document=document, since=since):
                self._revocations.setdefault(document, []).append((since, admitted))

    def objected(self, position: int) -> int:
        """When the verdict or fault at `position` was logged; 0 when none was."""
        return self._times.get(position, 0)

    def compromised(self, key: bytes, index: int) -> int:
        """Since when it is in the log that what `key` said at `index` is not to be believed; 0: never."""
        return _earliest(self._compromises.get(key, ()), index)

    def revoked(self, measurement: bytes, index: int) -> int:
        """Since when it is in the log that `measurement` does not count at `index`; 0: never."""
        return _earliest(self._revocations.get(measurement, ()), index)


def _earliest(found: list[tuple[int, int]] | tuple[()], index: int) -> int:
    return min((at for since, at in found if index >= since), default=0)
