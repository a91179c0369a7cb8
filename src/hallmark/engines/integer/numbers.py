"""Integers in float64: scales, the one rounding rule, and the guard that keeps sums exact.

activations    integers of 2^-14                  weights   int16, one power of two a column
residual       saturates at +-2^22                exp2      4,096 entries of 2^-20 for 2^-(i/4096)
sigmoid        65,536 entries of 2^-20, from -16 to 16 in steps of 2^-11
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from hallmark.core.errors import InvalidInput

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

ACTIVATION_BITS: Final = 14
ONE: Final = float(1 << ACTIVATION_BITS)
RESIDUAL_LIMIT: Final = float(1 << 22)
EXACT: Final = float(1 << 53)
"""Below this every integer is a float64, so that no sum of integers is rounded."""
TABLE_BITS: Final = 20
EXP2_STEPS: Final = 4096
EXP2_LIMIT: Final = (TABLE_BITS + 1) * EXP2_STEPS
"""From here on 2^-(i/4096) is less than 2^-20, hence zero."""
SIGMOID_ENTRIES: Final = 65_536
SIGMOID_SHIFT: Final = 2.0**-3
"""From activations to steps of the sigmoid's table."""
SLACK: Final = 1 + 2.0**-40
"""Bounds are computed in floating point: a little more than they are, so that they are bounds."""


def half_up(values: Floats) -> Floats:
    """floor(x + 1/2) in place: the rule by which everything is rounded."""
    np.add(values, 0.5, out=values)
    return np.floor(values, out=values)


def saturate(values: Floats) -> Floats:
    """Cut to +-2^22 in place."""
    np.minimum(values, RESIDUAL_LIMIT, out=values)
    return np.maximum(values, -RESIDUAL_LIMIT, out=values)


def expanded_exp2(table: Ints) -> Ints:
    """2^-(i/4096) in units of 2^-20, for i from 0 to `EXP2_LIMIT`, from its first 4,096 entries."""
    whole = np.arange(TABLE_BITS + 1, dtype=np.int64)[:, None]
    return np.append((table[None, :] >> whole).reshape(-1), 0)


def guard(bound: float, what: str) -> float:
    """`bound` if sums up to it are exact. Raises InvalidInput `integer_overflow`."""
    if not bound * SLACK < EXACT:
        raise InvalidInput(
            "integer_overflow",
            f"This model's {what} can grow beyond 2^53, where sums are no longer exact.",
            "Convert it with smaller weights: an engine that may round is none that repeats.",
        )
    return bound * SLACK


class Matrix:
    """Weights of one product: `values` (rows, columns) are exact multiples of `scale`, each column's own
    power of two.

    `lengths` are the Euclidean lengths of the columns, and `sums` the magnitudes that bounds are summed over,
    both in units of the integers that the artifact holds.
    """

    def __init__(self, integers: Ints, shift: Ints) -> None:
        exact = integers.astype(np.float64)
        self.scale = np.ldexp(1.0, -shift.astype(np.int32))  # exact: vector libraries round exp2
        self.values = np.ascontiguousarray(exact * self.scale)
        self.lengths = np.sqrt((exact * exact).sum(axis=0)) * SLACK
        self.sums = np.abs(exact)

    def after_norm(self, length: float, what: str) -> Floats:
        """Bounds of each output for inputs no longer than `length` (Cauchy and Schwarz), guarded."""
        guard(float(self.lengths.max()) * length, what)
        bounds: Floats = self.lengths * length * self.scale + 1
        return bounds

    def after(self, bounds: Floats, what: str) -> Floats:
        """Bounds of each output for inputs within `bounds` each, guarded."""
        sums = bounds @ self.sums * SLACK
        guard(float(sums.max()), what)
        out: Floats = sums * self.scale + 1
        return out
