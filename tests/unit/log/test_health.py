"""The log's health as a table: it is ready only while a quorum covers what it takes, or nothing comes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hallmark.services.log.health import Facts, judge
from hallmark.services.log.witness_client import WitnessStatus, _code

NOW = 1_000_000
GOOD = Facts(
    alarm="",
    confirmed=True,
    size=90,
    cosigned=90,
    waited_ms=0,
    witnesses=(WitnessStatus("f1", 90, 1, "", 0),),
)
TROUBLED = (
    WitnessStatus("f1", 90, 1, "", 0),
    WitnessStatus("f2", 80, 1, "log_time_ahead", 5),
    WitnessStatus("f3", 0, 0, "timed_out", 5),
)


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({}, "ready", ""),
        ({"size": 95, "waited_ms": 40}, "ready", ""),
        ({"size": 95, "waited_ms": 4_999}, "ready", ""),
        ({"size": 95, "waited_ms": 5_000}, "degraded", "quorum_missing"),
        ({"confirmed": False}, "degraded", "log_unconfirmed"),
        ({"alarm": "log_forked", "confirmed": False}, "failed", "log_forked"),
        ({"problem": "store_full"}, "degraded", "store_full"),
        ({"problem": "store_full", "size": 95, "waited_ms": 9_000}, "degraded", "quorum_missing"),
        ({"witnesses": TROUBLED}, "ready", ""),
    ],
)
def test_states(changes: dict[str, Any], state: str, reason: str) -> None:
    """Each observation with the state and reason that follow."""
    health = judge(msgspec.structs.replace(GOOD, **changes), NOW, 5_000)
    assert (health.state, health.reason) == (state, reason)


def test_a_standby_is_no_log() -> None:
    """Whoever does not lead says so."""
    assert judge(None, NOW, 5_000).reason == "log_standby"


def test_it_says_since_when_and_who_does_not_cosign() -> None:
    """The oldest waiting entry gives the beginning; refusals are named with their reasons."""
    facts = msgspec.structs.replace(GOOD, size=502, waited_ms=37_000, witnesses=TROUBLED)
    health = judge(facts, NOW, 5_000)
    assert health.since == NOW - 37_000
    assert health.told == (
        "412 entries are not covered by a quorum, for 37 s now: f2 log_time_ahead, f3 timed_out."
    )


def test_a_refusals_reason_is_the_full_nodes_own() -> None:
    """The code before the colon is taken, anything else is not repeated."""
    assert _code(b"log_time_ahead: The log's time is ahead.\n") == "log_time_ahead"
    assert _code(b"<html>: no\n") == _code(b"") == "witness_refused"
