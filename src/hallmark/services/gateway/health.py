"""Whether a gateway does its job: follow the log, hear from nodes that may be asked, and get answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hallmark.http.health import SERVING, Health, lasted, unless
from hallmark.services.gateway.traffic import Streak


class NodeSeen(msgspec.Struct, frozen=True):
    """A present node as this gateway hears it: its slots by its own word, when it last answered (unix ms, 0:
    never), whether it does now, and its clock less this gateway's (ms, None: not measured).
    """

    key: str
    endpoint: str
    slots: int
    heard: int
    answers: bool
    skew: int | None = None


class Facts(msgspec.Struct, frozen=True):
    """What a gateway observes. `eligible`: some node may be asked for something, or only has its hands full.
    `streaks` are models of which only failures came lately, `problem` is the store's.
    """

    follower: Health
    nodes: Sequence[NodeSeen]
    eligible: bool
    streaks: Sequence[Streak] = ()
    problem: str = ""


def judge(facts: Facts, now: int, skew_ms: int) -> Health:
    """Health at `now` (unix ms). A gateway that nobody asks stays ready: its nodes are looked after."""
    if facts.follower.state not in SERVING:
        return facts.follower
    if not facts.nodes:
        return Health("degraded", "no_node")
    if not any(node.answers for node in facts.nodes):
        last = max(node.heard for node in facts.nodes)
        told = f"None of {len(facts.nodes)} nodes answers"
        told += f"; the last word of one came {lasted(now - last)} ago." if last else " or ever did."
        return Health("degraded", "no_node_answers", last, told)
    if not facts.eligible:
        return Health("degraded", "no_node_eligible")
    if facts.streaks:
        first = min(streak.since for streak in facts.streaks)
        told = ", ".join(f"{s.count} of {s.model} ({s.reason})" for s in facts.streaks)
        return Health("degraded", "answers_failing", first, f"Failed with no answer between: {told}.")
    skewed = [node for node in facts.nodes if node.skew is not None and abs(node.skew) >= skew_ms]
    if skewed:
        told = ", ".join(f"{node.endpoint} by {skew_told(node.skew or 0)}" for node in skewed)
        return Health("degraded", "clock_skew", 0, f"Clocks that differ from this gateway's: {told}.")
    if facts.follower.state != "ready":
        return facts.follower
    return unless(facts.problem, Health("ready"))


def skew_told(ms: int) -> str:
    """A measured difference of clocks in words: "62 min ahead"."""
    return f"{lasted(abs(ms))} {'ahead' if ms > 0 else 'behind'}"
