"""When a negative state began: the admission time of the log entry that brought it about."""

from __future__ import annotations

from collections.abc import Sequence

from hallmark.core.registry import Ended
from hallmark.verification.fold import Replica


class RevocationTimes:
    """Times (unix ms) of the few entries that take something back, as a replica keeps them."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def objected(self, position: int) -> int:
        """When the verdict or fault at `position` was logged; 0 when none was."""
        return self._replica.admitted(position) if 0 < position < self._replica.size else 0

    def compromises(self, key: bytes, index: int) -> tuple[Ended, ...]:
        """Entries by which what `key` said at `index` is not to be believed, in log order."""
        member = self._replica.registry.members.get(key)
        return tuple(ended for ended in member.ended if index >= ended.since) if member else ()

    def revocations(self, measurement: bytes, index: int) -> tuple[Ended, ...]:
        """Entries by which `measurement` does not count at `index`, in log order."""
        approved = self._replica.registry.approved.get(measurement)
        return tuple(ended for ended in approved.ended if index >= ended.since) if approved else ()

    def compromised(self, key: bytes, index: int) -> int:
        """Since when (unix ms) the log takes back what `key` said at `index`; 0: it does not."""
        return _first(self.compromises(key, index))

    def revoked(self, measurement: bytes, index: int) -> int:
        """Since when (unix ms) the log says that `measurement` does not count at `index`; 0: it does not."""
        return _first(self.revocations(measurement, index))


def _first(found: Sequence[Ended]) -> int:
    return found[0].admitted if found else 0
