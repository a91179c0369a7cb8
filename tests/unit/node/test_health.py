"""A node's health as a table: an enclave that answers, and receipts that reach the log."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hallmark.http.health import Health
from hallmark.services.node.health import Facts, judge, told_of

NOW = 10_000_000
GOOD = Facts(Health("ready"), unheard=1_900)


@pytest.mark.parametrize(
    ("changes", "state", "reason", "ago"),
    [
        ({}, "ready", "", 0),
        ({"life": Health("starting", "registration")}, "starting", "registration", 0),
        ({"life": Health("stopping"), "unheard": 90_000}, "stopping", "", 0),
        ({"unheard": 9_999}, "ready", "", 0),
        ({"unheard": 10_000}, "degraded", "enclave_silent", 10_000),
        ({"waiting": 3}, "ready", "", 0),
        ({"waiting": 3, "stuck": 4_999}, "ready", "", 0),
        ({"waiting": 3, "stuck": 5_000, "log_problem": "log_busy"}, "degraded", "outbox_waiting", 5_000),
        ({"waiting": 0, "stuck": 90_000}, "ready", "", 0),
        ({"refused": 60_000}, "degraded", "outbox_refused", 60_000),
        ({"refused": 3_600_000}, "ready", "", 0),
        ({"objected": "They object."}, "degraded", "registration_objected", 0),
        ({"objected": "They object.", "unheard": 10_000}, "degraded", "enclave_silent", 10_000),
        ({"refused": 60_000, "unheard": 20_000}, "degraded", "enclave_silent", 20_000),
        ({"problem": "store_full"}, "degraded", "store_full", 0),
        ({"unsettled": 599_999}, "ready", "", 0),
        ({"unsettled": 600_000, "settlement_problem": "x"}, "degraded", "settlement_late", 600_000),
        ({"unsettled": 600_000, "problem": "store_full"}, "degraded", "store_full", 0),
    ],
)
def test_states(changes: dict[str, Any], state: str, reason: str, ago: int) -> None:
    """Each observation with the state and reason that follow, and since when."""
    health = judge(msgspec.structs.replace(GOOD, **changes), NOW)
    assert (health.state, health.reason) == (state, reason)
    assert health.since == (NOW - ago if ago else 0)


def test_what_waits_names_the_logs_reason() -> None:
    """How many, for how long, and why."""
    facts = msgspec.structs.replace(GOOD, waiting=3, stuck=7_000, log_problem="connect_failed")
    assert judge(facts, NOW).told == "3 entries wait for the log, for 7 s (connect_failed)."


def test_a_host_whose_epoch_is_taken_is_told_what_helps() -> None:
    """In plain words: who objects, why, how that comes about, what to do. Another reason has its sentence."""
    told = told_of("epoch_taken", 3)
    assert told.startswith("3 full nodes object to this node's registration, so nobody is sent to it: ")
    assert "another bundle for this epoch, or a later one" in told
    assert "clock" in told
    assert "another address" in told
    assert told_of("evidence_rejected", 1).startswith("1 full node objects")
