"""The quorum of a development network."""

from __future__ import annotations

import pytest

from hallmark.compose.trustfile import quorum_of


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (0, 1)), (3, (0, 3)), (4, (1, 3)), (7, (2, 5)), (10, (3, 7))]
)
def test_a_quorum_is_2f_plus_1_of_3f_plus_1(count: int, expected: tuple[int, int]) -> None:
    """The design's sizes; fewer than four full nodes must all agree."""
    assert quorum_of(count) == expected


@pytest.mark.parametrize("count", range(1, 40))
def test_two_quorums_always_share_an_honest_full_node(count: int) -> None:
    """With f dishonest ones, two quorums of any network overlap in at least f+1, and f absent ones stop
    none.
    """
    faulty, quorum = quorum_of(count)
    assert 2 * quorum - count >= faulty + 1
    assert quorum <= count - faulty
