"""Records and their lower bounds."""

from __future__ import annotations

from math import sqrt

import pytest

from hallmark.discovery.record import MILLION, Record, lower_bound

Z = 1.644854


def wilson(right: float, count: int) -> float:
    """The formula as books have it."""
    p = right / count
    middle = p + Z * Z / (2 * count)
    spread = Z * sqrt(p * (1 - p) / count + Z * Z / (4 * count * count))
    return (middle - spread) / (1 + Z * Z / count)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 97, 1_000, 1_000_000])
def test_the_bound_is_wilsons_in_whole_numbers(count: int) -> None:
    """To a millionth, and never above it."""
    for right in {0, 1, count // 2, count - 1, count}:
        found = lower_bound(2 * right, count)
        assert found is not None
        exact = wilson(right, count) * MILLION
        assert exact - 2 < found <= exact + 1


def test_of_nothing_there_is_no_bound() -> None:
    """Unknown is neither a pass nor a zero."""
    assert Record().bound is None
    assert Record(wrong=3).bound == 0


def test_more_of_the_same_is_known_better_and_partly_is_half() -> None:
    """Twenty right say more than two, and two that are partly right count as one right and one wrong."""
    few, many = Record(right=2).bound, Record(right=20).bound
    assert few is not None
    assert many is not None
    assert 0 < few < many < MILLION
    assert Record(partly=2).bound == Record(right=1, wrong=1).bound
