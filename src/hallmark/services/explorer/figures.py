"""Figures that follow from the leaves alone. docs/explorer.md says how to recompute each by hand.

1. `entries`: how many leaves are of each kind, by its lower-case name.
2. `receipts_by_node`, `receipts_by_artifact`: receipts that carry exactly one signature, which is the node's;
   by the receipt's own fields. A provider's answer counts under the zero artifact.
3. `admission_gap_ms`: of the same receipts, admission time less `finished`; p50 and p99 by nearest rank: of n
   values in order, the one at place ceil(p * n / 100). -1 when there is none. Negative when clocks differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from hallmark.core.document import hex0x
from hallmark.core.entries import Kind
from hallmark.core.receipt import Receipt
from hallmark.services.explorer.views import LogFigures

Counted: TypeAlias = tuple[str, bytes]
"""What one entry adds one to: the name of a count, and of what it is (a key, a digest, a label, a number)."""


def counted(kind: Kind, admitted: int, receipt: Receipt | None, label: str = "") -> tuple[Counted, ...]:
    """What an entry adds to. `receipt` is given when its node signed it, with the `label` that it goes by."""
    entry = ("kind", kind.name.lower().encode())
    if receipt is None:
        return (entry,)
    return (
        entry,
        ("node", receipt.node),
        ("artifact", receipt.artifact),
        ("label", label.encode()),
        ("gap", b"%d" % (admitted - receipt.finished)),
        *(
            (("ran", label.encode()), ("version", receipt.manifest))
            if any(receipt.artifact)
            else (("asserted", label.encode()),)
        ),
    )


class Tally:
    """Counts of entries, from those that are given to begin with."""

    def __init__(self, counts: Mapping[Counted, int]) -> None:
        self._counts: dict[str, Counter[bytes]] = {}
        for (what, key), count in counts.items():
            self._of(what)[key] = count

    def add(self, found: Iterable[Counted]) -> None:
        """Count one entry."""
        for what, key in found:
            self._of(what)[key] += 1

    def of(self, what: str, key: bytes) -> int:
        """How many there are of a node, artifact, label or version (its manifest's digest)."""
        return self._of(what)[key]

    def keys(self, what: str) -> Iterable[bytes]:
        """Of what there are counts of this name."""
        return self._of(what).keys()

    @property
    def receipts(self) -> int:
        """How many receipts their nodes signed."""
        return self._of("node").total()

    @property
    def by_node(self) -> Mapping[bytes, int]:
        """Receipts by node."""
        return self._of("node")

    @property
    def by_label(self) -> dict[tuple[str, bool], int]:
        """Receipts by label, and whether a provider asserts it."""
        named = (("ran", False), ("asserted", True))
        return {(k.decode(), by): n for what, by in named for k, n in self._of(what).items()}

    @property
    def entries(self) -> dict[str, int]:
        """Entries by the lower-case name of their kind."""
        return {kind.decode(): count for kind, count in sorted(self._of("kind").items()) if count}

    def figures(self, size: int, root: str) -> LogFigures:
        """The figures of the first `size` leaves, which hash to `root` (0x-hex)."""
        gaps = {int(gap): count for gap, count in self._of("gap").items()}
        return LogFigures(
            size,
            root,
            self.entries,
            _named(self._of("node")),
            _named(self._of("artifact")),
            {"p50": nearest_rank(gaps, 50), "p99": nearest_rank(gaps, 99)},
        )

    def _of(self, what: str) -> Counter[bytes]:
        return self._counts.setdefault(what, Counter())


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
    return {hex0x(key): count for key, count in sorted(counts.items()) if count}
