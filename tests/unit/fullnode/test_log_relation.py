"""A full node's health as a story: told what happens, it says whether it cosigns what grows."""

from __future__ import annotations

from hallmark.services.fullnode.log_relation import LogRelation

QUIET = 5_000


def story(*events: tuple[object, ...]) -> LogRelation:
    """A standing that was told these events, each a method with its arguments."""
    standing = LogRelation(QUIET)
    for name, *arguments in events:
        getattr(standing, str(name))(*arguments)
    return standing


def reason(standing: LogRelation, now: int) -> str:
    """The reason at a time; "ready" when it is."""
    health = standing.health(now)
    return health.reason if health.state != "ready" else "ready"


def test_an_idle_log_keeps_it_ready() -> None:
    """Nothing grows and nobody asks: a day later it is still ready."""
    idle = story(("cosigned", 90, 1_000), ("log_has", 90, 2_000), ("log_has", 90, 80_000_000))
    assert reason(idle, 86_400_000) == "ready"
    assert reason(LogRelation(QUIET), 0) == "ready"


def test_a_refusal_counts_once_it_lasts() -> None:
    """Owing an objection for a moment is work; refusing for seconds is not cosigning."""
    refusing = story(("cosigned", 90, 1_000), ("refused", "objections_pending", 2_000))
    assert reason(refusing, 6_999) == "ready"
    assert reason(refusing, 7_000) == "objections_pending"
    refusing.cosigned(95, 7_100)
    assert reason(refusing, 60_000) == "ready"


def test_a_log_whose_clock_is_ahead_is_named_with_the_time() -> None:
    """The log's clock went forward and back: nothing is cosigned, and that is said, also on an idle log."""
    health = story(
        ("cosigned", 90, 1_000), ("refused", "log_time_ahead", 4_000), ("refused", "log_time_ahead", 60_000)
    ).health(64_000)
    assert (health.state, health.reason, health.since) == ("degraded", "log_time_ahead", 4_000)
    assert health.told == "It has refused every checkpoint for 60 s; it cosigned 90 entries, 63 s ago."


def test_its_own_clock_going_back_does_not_hide_a_refusal() -> None:
    """An hour back: the refusal's time begins again and counts after the usual seconds."""
    hour = 3_600_000
    back = story(
        ("cosigned", 90, 2 * hour),
        ("refused", "log_time_ahead", 2 * hour),
        ("refused", "log_time_ahead", hour),
    )
    assert reason(back, hour + QUIET) == "log_time_ahead"


def test_a_log_that_was_started_again_is_not_refused() -> None:
    """Telling it where this node is belongs to the protocol."""
    assert reason(story(("refused", "old_size_differs", 1_000)), 90_000) == "ready"


def test_nobody_asks_although_the_log_grew() -> None:
    """The log has more, and does not ask: said after seconds; asking again ends it."""
    alone = story(("cosigned", 90, 1_000), ("log_has", 95, 20_000))
    assert reason(alone, 24_999) == "ready"
    alone.log_has(99, 30_000)
    assert reason(alone, 30_000) == "not_asked"
    assert alone.health(30_000).since == 20_000
    alone.cosigned(99, 31_000)
    assert reason(alone, 60_000) == "ready"
    alone.log_has(99, 61_000)
    assert reason(alone, 90_000) == "ready"


def test_a_log_that_cannot_be_asked_is_unreachable() -> None:
    """After seconds, until it answers or asks."""
    silent = story(("cosigned", 90, 1_000), ("log_silent", 11_000), ("log_silent", 21_000))
    assert reason(silent, 21_000) == "log_unreachable"
    silent.log_has(90, 31_000)
    assert reason(silent, 40_000) == "ready"
