"""Health of anchoring, the development chain and pages as tables."""

from __future__ import annotations

import pytest

from hallmark.http.health import Health
from hallmark.services.anchor.health import Facts, judge
from hallmark.services.chain.devchain import judge as judge_chain

NOW = 10_000_000
READY = Health("ready")
AWAY = Health("degraded", "timed_out", 5)


@pytest.mark.parametrize(
    ("work", "waited", "expected"),
    [
        (READY, 0, READY),
        (READY, 59_999, READY),
        (AWAY, 90_000, AWAY),
        (Health("starting", "chain_not_seen"), 90_000, Health("starting", "chain_not_seen")),
    ],
)
def test_anchoring_that_is_in_time_is_as_its_work_stands(work: Health, waited: int, expected: Health) -> None:
    """An idle log, an interval that is not over, and a chain that is away."""
    assert judge(Facts(work, waited, 10, 12), NOW, 60_000) == expected


def test_anchoring_behind_says_since_when() -> None:
    """A checkpoint that waits longer than the limit: how long, and how much is anchored."""
    health = judge(Facts(READY, 60_000, 10, 12), NOW, 60_000)
    assert (health.state, health.reason, health.since) == ("degraded", "anchoring_behind", NOW - 60_000)
    assert health.told == "A checkpoint has waited for the chain for 60 s: 10 of 12 entries are anchored."


def test_a_chain_without_blocks_is_silent() -> None:
    """Blocks that come keep it ready; ten that are missing do not; a start is a start."""
    assert judge_chain(READY, 9_999, 10_000, NOW) == READY
    health = judge_chain(READY, 10_000, 10_000, NOW)
    assert (health.state, health.reason, health.since) == ("degraded", "chain_silent", NOW - 10_000)
    starting = Health("starting", "anvil_starting")
    assert judge_chain(starting, 99_000, 10_000, NOW) == starting
