"""A record: how often answers were right, and how far down the truth may lie.

The bound is the lower end of Wilson's interval at 95 % one-sided (z = 1.645): of a hundred bounds some five
lie above the true rate. It is an integer in parts per million, computed from integers alone, so that
everybody who counts the same gets the same. `partly` counts as half. Of nothing there is no bound: unknown is
neither a pass nor a zero.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

import msgspec

MILLION: Final = 1_000_000
Z2: Final = 2_705_543
"""z squared in millionths, of z = 1.644854."""


class Record(msgspec.Struct, frozen=True):
    """Words that count on one thing: how many said right, wrong and partly."""

    right: int = 0
    wrong: int = 0
    partly: int = 0

    @property
    def count(self) -> int:
        """How many words."""
        return self.right + self.wrong + self.partly

    @property
    def bound(self) -> int | None:
        """The lower bound in parts per million; None when nothing was said."""
        return lower_bound(2 * self.right + self.partly, self.count)


def lower_bound(halves: int, count: int) -> int | None:
    """Wilson's lower bound, in parts per million, of `halves` half successes in `count`; None for none.

    (p + z^2/2n - z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n), with p = halves / 2n, rounded down.
    """
    if count <= 0:
        return None
    spread = Z2 * Z2 + Z2 * MILLION * halves * (2 * count - halves) // count
    root = isqrt(spread)
    root += root * root < spread
    return max((halves * MILLION + Z2 - root) * MILLION // (2 * (count * MILLION + Z2)), 0)
