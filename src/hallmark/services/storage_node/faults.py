"""What was noticed about storage nodes: logged, counted, and kept for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.telemetry.logs import get_logger

RECENT_S: Final = 30.0


class Standing(msgspec.Struct):
    """What one node did since the start: wrong answers, times that it was away, challenges that it passed and
    failed; the newest reason and its time (unix seconds). `suspect`: the last challenge failed, or it gave
    wrong bytes since it last passed one.
    """

    name: str
    shards: int
    wrong: int = 0
    away: int = 0
    passed: int = 0
    failed: int = 0
    suspect: bool = False
    reason: str = ""
    at: float = 0.0


class Faults:
    """The standings of a committee's nodes. `now` is unix seconds."""

    def __init__(self, nodes: tuple[tuple[str, int], ...], now: Callable[[], float] = time.time) -> None:
        self.standings = {name: Standing(name, weight) for name, weight in nodes}
        self._now = now

    def note(self, node: str, error: HallmarkError, identifier: str) -> None:
        """A node gave something wrong about a blob (text), or nothing."""
        standing = self.standings[node]
        standing.reason, standing.at = error.reason, self._now()
        if isinstance(error, VerificationFailed):
            standing.wrong += 1
            standing.suspect = True
        else:
            standing.away += 1
        get_logger().warning("storage_node_fault", node=node, reason=error.reason, id=identifier)

    def recent(self, node: str) -> bool:
        """Whether a node was noted in the last moments: it is asked last."""
        return self._now() - self.standings[node].at < RECENT_S

    def challenged(self, node: str, error: HallmarkError | None, identifier: str) -> None:
        """A challenge was answered, or not."""
        standing = self.standings[node]
        standing.suspect = error is not None
        if error is None:
            standing.passed += 1
            return
        standing.failed += 1
        standing.reason, standing.at = error.reason, self._now()
        get_logger().warning("storage_challenge_failed", node=node, reason=error.reason, id=identifier)

    @property
    def suspects(self) -> int:
        """How many nodes are suspect."""
        return sum(standing.suspect for standing in self.standings.values())

    @property
    def wrong(self) -> int:
        """Wrong answers of all nodes."""
        return sum(standing.wrong for standing in self.standings.values())
