"""An axis of time, in ms after the answer's last byte: in true proportion where every gap can be seen so,
else logarithmic, and then it says so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Final

import msgspec

from hallmark.apps.web.times import gap

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
STEPS: Final = (
    *(digit * 10**power for power in range(3) for digit in (1, 2, 5)),
    *(_SECOND * count for count in (1, 2, 5, 10, 30)),
    *(_MINUTE * count for count in (1, 2, 5, 10, 30)),
    *(_HOUR * count for count in (1, 2, 6, 12)),
    *(_DAY * digit * 10**power for power in range(9) for digit in (1, 2, 5)),
)
DECADES: Final = (
    1,
    10,
    100,
    _SECOND,
    10 * _SECOND,
    _MINUTE,
    10 * _MINUTE,
    _HOUR,
    10 * _HOUR,
    *(_DAY * 10**power for power in range(1, 10)),
)
LEAST_APART: Final = 7
"""px between two different moments below which a linear axis would hide a gap."""


class Tick(msgspec.Struct, frozen=True):
    """A labelled place on the axis; `share` 0 to 1."""

    share: float
    label: str


class Axis(msgspec.Struct, frozen=True):
    """From `low` to `high` ms over `length` px."""

    low: int
    high: int
    logarithmic: bool
    length: float

    @classmethod
    def of(cls, gaps: Iterable[int], length: float) -> Axis:
        """The axis for these gaps; one that holds a single instant is linear."""
        known = sorted(set(gaps))
        low, high = known[0], known[-1]
        span = high - low
        least = min((b - a for a, b in itertools.pairwise(known)), default=0)
        return cls(low, high, span > 0 and least * length < LEAST_APART * span, length)

    @property
    def sentence(self) -> str:
        """What equal lengths mean on this axis."""
        if self.logarithmic:
            return "Logarithmic: equal lengths, equal factors."
        return "Linear: equal lengths, equal times."

    def share(self, ms: int) -> float:
        """Where a gap stands, 0 at `low` to 1 at `high`."""
        if self.high == self.low:
            return 0.0
        if not self.logarithmic:
            return (ms - self.low) / (self.high - self.low)
        low, high = _fold(self.low), _fold(self.high)
        return (_fold(ms) - low) / (high - low)

    def ticks(self, apart: float = 18.0) -> tuple[Tick, ...]:
        """Labelled places at least `apart` px from one another; 0 is among them when it is in reach."""
        wanted = self._decades() if self.logarithmic else self._steps()
        inside = [ms for ms in wanted if self.low <= ms <= self.high]
        taken: list[tuple[int, float]] = []
        for ms in sorted(inside, key=lambda g: (g != 0, -abs(g))):
            share = self.share(ms)
            if all(abs(share - other) * self.length >= apart for _, other in taken):
                taken.append((ms, share))
        return tuple(Tick(share, gap(ms) if ms else "0") for ms, share in sorted(taken))

    def _decades(self) -> tuple[int, ...]:
        return (*(-ms for ms in reversed(DECADES)), 0, *DECADES)

    def _steps(self) -> tuple[int, ...]:
        span = self.high - self.low
        step = next((step for step in STEPS if span <= 6 * step), span)
        if step == 0:
            return (self.low,)
        first = -(-self.low // step)
        return tuple(step * count for count in range(first, self.high // step + 1))


def _fold(ms: int) -> float:
    """Symmetric logarithm: linear within a millisecond of 0."""
    return math.copysign(math.log10(1 + abs(ms)), ms)
