"""Figures that follow from the leaves alone. docs/explorer.md says how to recompute each by hand.

1. `entries`: how many leaves are of each kind, by its lower-case name.
2. `receipts_by_node`, `receipts_by_artifact`: receipts that carry exactly one signature, which is the node's;
   by the receipt's own fields. A provider's answer counts under the zero artifact.
3. `admission_gap_ms`: of the same receipts, admission time less `finished`; p50 and p99 by nearest rank: of n
   values in order, the one at place ceil(p * n / 100). -1 when there is none. Negative when clocks differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.core.receipt import Receipt
from hallmark.services.explorer.views import LogFigures


class Tally:
    """Counts leaves as they are folded; `signed` tells whether an entry is a receipt that its node signed."""

    def __init__(self) -> None:
        self.entries: Counter[str] = Counter()
        self.by_node: Counter[bytes] = Counter()
        self.by_artifact: Counter[bytes] = Counter()
        self.by_label: Counter[tuple[str, bool]] = Counter()
        self.receipts = 0
        self._gaps: Counter[int] = Counter()

    def add(
        self, admitted: int, entry: Entry, *, signed: bool, label: tuple[str, bool] = ("", False)
    ) -> None:
        """Count one entry. `label` is what a receipt goes by, and whether a provider asserts it."""
        self.entries[entry.kind.name.lower()] += 1
        receipt = entry.statement
        if not signed or not isinstance(receipt, Receipt):
            return
        self.receipts += 1
        self.by_node[receipt.node] += 1
        self.by_artifact[receipt.artifact] += 1
        self.by_label[label] += 1
        self._gaps[admitted - receipt.finished] += 1

    def figures(self, size: int, root: bytes) -> LogFigures:
        """The figures of the first `size` leaves, which hash to `root`."""
        return LogFigures(
            size,
            hex0x(root),
            dict(sorted(self.entries.items())),
            _named(self.by_node),
            _named(self.by_artifact),
            {"p50": nearest_rank(self._gaps, 50), "p99": nearest_rank(self._gaps, 99)},
        )


def nearest_rank(values: Mapping[int, int], percent: int) -> int:
    """The nearest-rank percentile of values with their multiplicities; -1 when there is none."""
    total = sum(values.values())
    rank, seen = -(-percent * total // 100), 0
    for value in sorted(values):
        seen += values[value]
        if seen >= rank:
            return value
    return -1


def _named(counts: Mapping[bytes, int]) -> dict[str, int]:
    return {hex0x(key): count for key, count in sorted(counts.items())}
