"""Health says what, since when and what to do, the same in every place."""

from __future__ import annotations

import ast
from pathlib import Path

import hallmark
from hallmark.http.health import STEPS, Behind, Health, HealthMetric, Since, code_of, unless
from hallmark.testing.reasons import nodes_of

SOURCE = Path(hallmark.__file__).parent


def test_since_is_when_a_state_began() -> None:
    """A state that lasts keeps its beginning; another one begins anew; one's own beginning wins."""
    now = [5_000]
    since = Since(lambda: now[0])
    assert since.stamped(Health("ready")).since == 5_000
    now[0] = 9_000
    assert since.stamped(Health("ready")).since == 5_000
    assert since.stamped(Health("degraded", "store_full")).since == 9_000
    assert since.stamped(Health("degraded", "quorum_missing", 7_000)).since == 7_000


def test_whoever_is_not_ready_names_a_next_step() -> None:
    """Ready and stopping ask for nothing; everything else says what to do, unknown reasons too."""
    assert Health("ready").step == Health("stopping").step == ""
    assert Health("degraded", "store_full").step == STEPS["store_full"]
    assert "log.jsonl" in Health("starting", "something_new").step
    assert "evidence" in Health("refusing", "log_duplicate_entry").step
    assert Health("degraded", "store_full").to_json()["next"] == STEPS["store_full"]


def test_a_problem_degrades_only_what_is_ready() -> None:
    """What is worse stays as it is."""
    assert unless("store_full", Health("ready")) == Health("degraded", "store_full")
    assert unless("store_full", Health("failed", "log_forked")) == Health("failed", "log_forked")
    assert unless("", Health("ready")) == Health("ready")


def test_behind_is_measured_from_the_oldest_goal() -> None:
    """Progress starts it anew, however far the goal runs ahead; an idle goal is never behind."""
    behind = Behind()
    for goal, done, now, lasts in (
        (10, 10, 0, 0),  # idle
        (12, 10, 100, 0),  # grew
        (20, 10, 900, 800),  # and nothing was done
        (30, 12, 1_000, 0),  # the first goal was reached: a new one begins
        (30, 29, 1_400, 400),
        (30, 30, 1_500, 0),
        (30, 30, 99_000, 0),
        (31, 30, 99_000, 0),
        (31, 30, 98_000, 0),  # the clock went back: it begins again, and is never negative
        (31, 30, 98_500, 500),
    ):
        behind.see(goal, done, now)
        assert behind.lasts(now) == lasts, (goal, done, now)


def test_the_metric_says_what_healthz_says() -> None:
    """State and reason are labels; what is no code does not become one."""
    found = list(HealthMetric(lambda: Health("degraded", "quorum_missing", 7_000)).collect())
    assert found[0].samples[0].labels == {"state": "degraded", "reason": "quorum_missing"}
    assert found[1].samples[0].value == 7
    (odd, _) = HealthMetric(lambda: Health("degraded", "Some Text")).collect()
    assert odd.samples[0].labels["reason"] == "none"
    assert code_of("a b", "other") == "other"


def test_every_reason_of_a_health_has_its_step() -> None:
    """Each `Health(state, "reason")` in the source stands in the one table of next steps."""
    named = set()
    for path in SOURCE.rglob("*.py"):
        if "Health(" not in path.read_text():
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Health" and len(node.args) > 1:
                state, reason = node.args[:2]
                if isinstance(reason, ast.Constant) and getattr(state, "value", "") != "stopping":
                    named.add(reason.value)
    assert named - set(STEPS) - {""} == set()
    assert len(named) > 15


def test_every_reason_stands_in_the_operators_table() -> None:
    """docs/operate.md names each reason that has a step."""
    text = (SOURCE.parents[1] / "docs" / "operate.md").read_text()
    assert {reason for reason in STEPS if f"`{reason}`" not in text} == set()
