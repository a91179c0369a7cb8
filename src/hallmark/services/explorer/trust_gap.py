"""What is measured live of the newest receipts: the trust gap, who saw prompts, who cosigns.

The trust gap of a receipt is from its `finished`, by its node's clock, to when a quorum-cosigned checkpoint
that covers it was verified in this process, everything below it read. Receipts that were folded while
catching up at the start are not measured: their time says when this process started.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from hallmark.ledger.note import Note
from hallmark.ledger.policy import VerifiedCheckpoint
from hallmark.services.explorer.figures import nearest_rank
from hallmark.services.explorer.network_views import Bin

NEWEST: Final = 1_000
EDGES: Final = (0, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000, 600_000, 3_600_000)


class Saw(msgspec.Struct, frozen=True):
    """A party that handled a prompt in clear."""

    role: str
    key: str
    name: str


class Cosigned(msgspec.Struct, frozen=True):
    """The newest cosignature of a full node that was seen here: the checkpoint's size, and when it was made
    by the full node's own clock (unix ms, whole seconds).
    """

    size: int
    at: int


class Measured:
    """Fed by the explorer: `receipt` for each signed receipt as it is folded, `take` for each newer head."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._live = False
        self._fresh: list[int] = []
        self._gaps: deque[int] = deque(maxlen=NEWEST)
        self._saw: deque[tuple[Saw, ...]] = deque(maxlen=NEWEST)
        self.cosigned: dict[str, Cosigned] = {}
        self.signed = 0

    def receipt(self, finished: int, saw: Iterable[Saw]) -> None:
        """A receipt was folded; the checkpoint that covers it is being taken."""
        self._saw.append(tuple(saw))
        if self._live:
            self._fresh.append(finished)

    def cosignatures(self, size: int, times: Mapping[str, int]) -> None:
        """Note who cosigned the log's checkpoint of `size` and when, each verified; it may have no quorum."""
        self.signed = max(self.signed, size)
        for signer, at in times.items():
            known = self.cosigned.get(signer)
            if known is None or known.size <= size:
                self.cosigned[signer] = Cosigned(size, at)

    def take(self, verified: VerifiedCheckpoint, _note: Note) -> None:
        """A newer checkpoint, everything below it folded."""
        now = self._clock()
        self.cosignatures(verified.checkpoint.size, dict(zip(verified.signers, verified.times, strict=True)))
        self._gaps.extend(now - finished for finished in self._fresh)
        self._fresh.clear()
        self._live = True

    @property
    def count(self) -> int:
        """How many receipts the gap was measured of."""
        return len(self._gaps)

    def percentile(self, percent: int) -> int:
        """Nearest-rank percentile of the gap, ms; -1 when none was measured."""
        return nearest_rank(Counter(self._gaps), percent)

    def bins(self) -> tuple[Bin, ...]:
        """The histogram: bars from `low` up to, not including, `high`; from the first that holds any to the
        last that does. Gaps below zero, which clocks that differ give, have a bar of their own.
        """
        if not self._gaps:
            return ()
        least, most = min(self._gaps), max(self._gaps)
        edges = [*((least,) if least < 0 else ()), *EDGES, *((most + 1,) if most >= EDGES[-1] else ())]
        bars = [
            Bin(low, high, sum(low <= gap < high for gap in self._gaps))
            for low, high in itertools.pairwise(edges)
        ]
        full = [number for number, bar in enumerate(bars) if bar.count]
        return tuple(bars[full[0] : full[-1] + 1])

    def exposure(self) -> tuple[tuple[Saw, int], ...]:
        """Who saw how many of the newest prompts in clear, most first."""
        counts = Counter(saw for all_of_one in self._saw for saw in set(all_of_one))
        return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0].role, item[0].key)))

    @property
    def prompts(self) -> int:
        """How many receipts the exposure is over."""
        return len(self._saw)
