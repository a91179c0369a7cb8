"""A gateway's health as a table, what it hears of its nodes, and what it finished."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hallmark.http.health import Health
from hallmark.routing.load import SILENT_MS, LoadTable
from hallmark.services.gateway.health import Bounds, Facts, NodeSeen, judge
from hallmark.services.gateway.traffic import KEPT, MINUTE, STREAK_MS, Standing, Streak, Traffic
from hallmark.store.raw import RawDatabase
from hallmark.testing.local_network import LocalNetwork

NOW = 10 * 3_600_000
HOUR = 3_600_000
HEARD = NodeSeen("0x1", "https://one", 16, NOW - 2_000, True, 40)
SILENT = NodeSeen("0x2", "https://two", 16, NOW - 12_000, False)
AHEAD = NodeSeen("0x3", "https://three", 16, NOW, True, HOUR)
LATE = msgspec.structs.replace(HEARD, request_ms=600_000, keep_alive_ms=15_000)
BOUNDS = Bounds(10_000, 580_000, 60_000)
GOOD = Facts(Health("ready"), (HEARD,), eligible=True)
STREAK = Streak("big", "upstream_unreachable", 4, NOW - 90_000, NOW - 1_000)


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({}, "ready", ""),
        ({"follower": Health("starting", "following_log"), "nodes": ()}, "starting", "following_log"),
        ({"follower": Health("failed", "log_root_differs")}, "failed", "log_root_differs"),
        ({"follower": Health("degraded", "log_unreachable")}, "degraded", "log_unreachable"),
        ({"nodes": ()}, "degraded", "no_node"),
        ({"nodes": (HEARD, SILENT)}, "ready", ""),
        ({"nodes": (SILENT,)}, "degraded", "no_node_answers"),
        (
            {"nodes": (SILENT,), "follower": Health("degraded", "log_unreachable")},
            "degraded",
            "no_node_answers",
        ),
        ({"eligible": False}, "degraded", "no_node_eligible"),
        ({"streaks": (STREAK,)}, "degraded", "answers_failing"),
        ({"nodes": (HEARD, AHEAD)}, "degraded", "clock_skew"),
        ({"nodes": (HEARD, LATE)}, "degraded", "limits_out_of_order"),
        ({"nodes": (AHEAD, LATE)}, "degraded", "clock_skew"),
        ({"problem": "store_full"}, "degraded", "store_full"),
    ],
)
def test_states(changes: dict[str, Any], state: str, reason: str) -> None:
    """Each observation with the state and reason that follow."""
    health = judge(msgspec.structs.replace(GOOD, **changes), NOW, BOUNDS)
    assert (health.state, health.reason) == (state, reason)


def test_it_says_what_was_observed() -> None:
    """Silence since the last word, failures with model and reason, clocks with their difference."""
    silent = judge(msgspec.structs.replace(GOOD, nodes=(SILENT,)), NOW, BOUNDS)
    assert silent.since == NOW - 12_000
    assert silent.told == "None of 1 nodes answers; the last word of one came 12 s ago."
    failing = judge(msgspec.structs.replace(GOOD, streaks=(STREAK,)), NOW, BOUNDS)
    assert failing.told == "Failed with no answer between: 4 of big (upstream_unreachable)."
    behind = msgspec.structs.replace(AHEAD, skew=-HOUR)
    skewed = judge(msgspec.structs.replace(GOOD, nodes=(AHEAD, behind)), NOW, BOUNDS)
    assert "https://three by 60 min ahead, https://three by 60 min behind" in skewed.told


@pytest.mark.parametrize(
    ("request_ms", "keep_alive_ms", "told"),
    [
        (579_999, 59_999, ""),
        (0, 0, ""),
        (580_000, 15_000, "https://one allows a whole answer 580 s; answer_s of this gateway is 580 s."),
        (1, 60_000, "https://one allows a silence within a stream 60 s; idle_s of this gateway is 60 s."),
    ],
)
def test_a_gateway_waits_longer_than_its_nodes_or_says_so(
    request_ms: int, keep_alive_ms: int, told: str
) -> None:
    """Limits at or above the gateway's own are named with both figures; what is not told is no fault."""
    node = msgspec.structs.replace(HEARD, request_ms=request_ms, keep_alive_ms=keep_alive_ms)
    health = judge(msgspec.structs.replace(GOOD, nodes=(node,)), NOW, BOUNDS)
    assert (health.reason, health.told) == ("limits_out_of_order" if told else "", told)
    assert ("Raise answer_s" in str(health.to_json())) == bool(told)


def test_silence_counts_after_seconds_and_ends_at_once() -> None:
    """A node that misses one question stays; one that goes on missing is left out until it answers."""
    loads, node = LoadTable(), bytes(20)
    loads.heard(node, NOW)
    loads.not_heard(node, NOW + 7_000)
    assert loads.of(node).reachable(NOW + 7_000 + SILENT_MS - 1)
    loads.not_heard(node, NOW + 9_000)
    assert not loads.of(node).reachable(NOW + 7_000 + SILENT_MS)
    loads.answered(node, 3.0, NOW + 11_000)
    assert loads.of(node).reachable(NOW + 11_000)


class Counting:
    """Traffic over a database in memory and a clock that tests set."""

    def __init__(self, database: RawDatabase | None = None) -> None:
        self.now = 1_000 * HOUR
        self.database = database or RawDatabase("sqlite://")
        self.traffic = Traffic(self.database, lambda: self.now, lambda: Standing(2, 1, 32, 16))


def test_a_model_fails_while_no_answer_comes_between() -> None:
    """Three failures in a row show; an answer ends it, and so do minutes without anybody asking."""
    counting = Counting()
    traffic = counting.traffic
    for number in range(3):
        assert traffic.streaks() == ()
        counting.now += number
        traffic.failed("big", "upstream_unreachable")
    (streak,) = traffic.streaks()
    assert (streak.model, streak.count, streak.since) == ("big", 3, 1_000 * HOUR)
    traffic.answered("digits")
    assert len(traffic.streaks()) == 1
    traffic.answered("big")
    assert traffic.streaks() == ()
    for reason in ("held", "at_capacity", "held", *["gateway_starting"] * 4):
        traffic.failed("big", reason)
    assert traffic.streaks() == ()
    for _ in range(3):
        traffic.failed("big", "no_node", shows=False)
    assert traffic.streaks(1) == ()
    traffic.failed("big", "timed_out")
    counting.now += STREAK_MS + 1
    assert traffic.streaks(1) == ()


async def test_minutes_are_kept_and_what_was_not_observed_is_told_apart() -> None:
    """After a restart the minutes are there; a minute without a row is no data, one without requests is 0."""
    counting = Counting()
    counting.traffic.answered("digits")
    counting.traffic.failed("digits", "timed_out")
    await counting.traffic.keep()
    counting.now += 2 * MINUTE
    await counting.traffic.keep()
    again = Counting(counting.database)
    again.now = counting.now
    again.traffic = Traffic(again.database, lambda: again.now, lambda: Standing(2, 1, 32, 16))
    points = again.traffic.history(1)
    assert len(points) == 60
    assert [(p.observed, p.answered, p.failed, p.heard, p.idle) for p in points[-3:]] == [
        (1, 1, 1, 1, 16),
        (0, 0, 0, 0, 0),
        (1, 0, 0, 1, 16),
    ]
    assert again.traffic.lately() == (1, 1, 2)
    assert sum(p.answered for p in again.traffic.history(168)) == 1


async def test_the_table_is_bounded() -> None:
    """Seven days of minutes and no more; many names count together."""
    counting = Counting()
    await counting.traffic.keep()
    counting.now += KEPT * MINUTE
    for number in range(100):
        counting.traffic.answered(f"model {number}")
    await counting.traffic.keep()
    assert len(counting.traffic._minutes) == 1
    (row,) = counting.traffic._minutes.values()
    assert len(row.models) == 65
    assert sum(pair[0] for pair in row.models.values()) == 100


async def test_the_network_tells_who_was_heard_and_what_was_finished(ask: Any, local: LocalNetwork) -> None:
    """Each node with when it answered this gateway, what was finished here, and the health of /healthz."""
    await ask.chat()
    _, told = await ask.get("/v1/hallmark/network")
    assert [(node["heard"], node["answers"]) for node in told["nodes"]] == [(local.net.now, True)] * 2
    assert told["observed"]["lately"] == {"minutes": 1, "answered": 1, "failed": 0}
    assert told["observed"]["points"][0]["observed"] == 0
    assert told["health"] == (await ask.get("/healthz"))[1]
    assert (await ask.get("/v1/hallmark/network?hours=7"))[1]["error"]["code"] == "bad_query"


async def test_nodes_that_die_degrade_the_gateway(ask: Any, local: LocalNetwork) -> None:
    """None answers: health says so and since when, and no slot is idle; the first answer ends it."""
    for node in local.nodes:
        node.behaviour = "die"
    await local.gateway.looking.look()
    heard = local.net.now
    local.net.tick(6_000)
    await local.gateway.looking.look()
    local.net.tick(6_000)
    _, said = await ask.get("/healthz")
    assert (said["state"], said["reason"], said["since"]) == ("degraded", "no_node_answers", heard)
    _, told = await ask.get("/v1/hallmark/network")
    assert (told["capacity"]["idle"], told["capacity"]["offline"]) == (0, 16)
    local.nodes[0].behaviour = "ok"
    await local.gateway.looking.look()
    assert (await ask.get("/healthz"))[1]["state"] == "ready"


@pytest.mark.parametrize(("skew", "word"), [(HOUR, "60 min ahead"), (-HOUR, "60 min behind")])
async def test_clocks_that_differ_are_named_with_the_difference(
    ask: Any, local: LocalNetwork, skew: int, word: str
) -> None:
    """The client gets a 5xx that names the difference, and health says the same."""
    for node in local.nodes:
        node.skew = skew
    local.net.tick(6_000)
    await local.gateway.looking.look()
    status, _, body = await ask.chat()
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (503, "clock_skew")
    assert word in error["message"]
    _, said = await ask.get("/healthz")
    assert (said["state"], said["reason"]) == ("degraded", "clock_skew")
    assert word in said["told"]


async def test_limits_out_of_order_are_told_and_nothing_is_refused(ask: Any, local: LocalNetwork) -> None:
    """A node that allows more than its gateway degrades health with both figures; requests go on."""
    assert (await ask.get("/healthz"))[1]["state"] == "ready"
    local.nodes[0].allows = {"request_ms": 570_000, "keep_alive_ms": 15_000}
    local.net.tick(6_000)
    await local.gateway.looking.look()
    _, said = await ask.get("/healthz")
    assert (said["state"], said["reason"]) == ("degraded", "limits_out_of_order")
    assert "allows a whole answer 570 s; answer_s of this gateway is 0.5 s." in said["told"]
    assert (await ask.chat())[0] == 200
    _, told = await ask.get("/v1/hallmark/network")
    assert sorted(node["request_ms"] for node in told["nodes"]) == [400, 570_000]
    assert told["health"]["reason"] == "limits_out_of_order"
