"""What a gateway knows about the load of nodes, from its own requests: counts, peak-EWMA latency, failures.

Errors are entered as a latency of ten seconds, so that a node that fails fast does not attract requests. A
node that cannot be reached is left alone for a while that doubles with each failure; after it, requests
try it again. Source of the rule: Finagle's peak EWMA under power of two choices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import TracebackType

import msgspec

DECAY_MS = 10_000.0
ERROR_MS = 10_000.0
FIRST_MS = 50.0
BACKOFF_MS = 500
MAX_BACKOFF_MS = 30_000
SILENT_MS = 3_000


class NodeLoad(msgspec.Struct):
    """One node: requests under way, peak-EWMA latency (ms) as of `at` (unix ms), and until when it is avoided
    after `failures` in a row. `heard` is when it last answered anything (0: never), `unheard` since when it
    does not (0: it does), `skew` its clock less this one (ms, None: not measured). `request_ms` is what it
    allows a whole answer, `keep_alive_ms` the longest silence of its streams, by its own word (0: not told).
    """

    in_flight: int = 0
    latency: float = FIRST_MS
    at: int = 0
    failures: int = 0
    avoid_until: int = 0
    heard: int = 0
    unheard: int = 0
    skew: int | None = None
    request_ms: int = 0
    keep_alive_ms: int = 0

    def reachable(self, now: int) -> bool:
        """False while the node is left alone after it could not be reached, and while it is silent."""
        return now >= self.avoid_until and not self.silent(now)

    def silent(self, now: int) -> bool:
        """Whether nothing has come from it for SILENT_MS although it was asked."""
        return self.unheard > 0 and now - self.unheard >= SILENT_MS

    def cost(self) -> float:
        """What power of two choices compares: expected latency times the requests it would share."""
        return self.latency * (self.in_flight + 1)


class LoadTable:
    """The loads of all nodes. Times are unix ms, given by the caller."""

    def __init__(self) -> None:
        self._loads: dict[bytes, NodeLoad] = {}

    @property
    def loads(self) -> Mapping[bytes, NodeLoad]:
        """Load by node key."""
        return self._loads

    def of(self, node: bytes) -> NodeLoad:
        """The load of a node, new when it is not known."""
        return self._loads.setdefault(node, NodeLoad())

    def lease(self, node: bytes) -> Lease:
        """Count a request to `node` as under way for the length of a `with` block."""
        return Lease(self.of(node))

    def answered(self, node: bytes, ms: float, now: int) -> None:
        """The node gave its first byte after `ms`."""
        load = self.of(node)
        load.failures = load.avoid_until = 0
        self.heard(node, now)
        self._enter(load, ms, now)

    def heard(self, node: bytes, now: int) -> None:
        """Something came from the node, whatever it was."""
        load = self.of(node)
        load.heard, load.unheard = now, 0

    def not_heard(self, node: bytes, now: int) -> None:
        """The node was asked and nothing came."""
        load = self.of(node)
        load.unheard = load.unheard or now

    def failed(self, node: bytes, now: int, *, unreachable: bool) -> None:
        """The node failed; `unreachable` also leaves it alone for a while."""
        load = self.of(node)
        self._enter(load, ERROR_MS, now)
        if unreachable:
            self.not_heard(node, now)
            load.failures += 1
            pause = min(BACKOFF_MS << min(load.failures - 1, 10), MAX_BACKOFF_MS)
            load.avoid_until = now + pause

    def _enter(self, load: NodeLoad, ms: float, now: int) -> None:
        """Peaks count at once, falls decay with the time since the last entry."""
        if ms >= load.latency:
            load.latency = ms
        else:
            kept = math.exp(-max(now - load.at, 1) / DECAY_MS)
            load.latency = load.latency * kept + ms * (1 - kept)
        load.at = now


class Lease:
    """See `LoadTable.lease`."""

    def __init__(self, load: NodeLoad) -> None:
        self._load = load

    def __enter__(self) -> None:
        self._load.in_flight += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._load.in_flight -= 1
