"""Whether a gateway does its job: follow the log, hear from nodes that may be asked, and get answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hallmark.http.health import SERVING, Health, lasted, unless
from hallmark.services.gateway.traffic import Streak


class NodeSeen(msgspec.Struct, frozen=True):
    """A present node as this gateway hears it: its slots by its own word, when it last answered (unix ms, 0:
    never), whether it does now, and its clock less this gateway's (ms, None: not measured). `request_ms` is
    what it allows a whole answer and `keep_alive_ms` the longest silence of its streams (0: not told). `name`
    is what its operator calls it ("": nothing).
    """

    key: str
    endpoint: str
    slots: int
    heard: int
    answers: bool
    skew: int | None = None
    request_ms: int = 0
    keep_alive_ms: int = 0
    name: str = ""


class Bounds(msgspec.Struct, frozen=True):
    """What this gateway was set to: the skew that it minds, and how long it waits for a whole answer and in a
    silent stream (ms). The waits have to be above what a node allows itself.
    """

    skew_ms: int
    answer_ms: int
    idle_ms: int


class Facts(msgspec.Struct, frozen=True):
    """What a gateway observes. `eligible`: some node may be asked for something, or only has its hands full.
    `streaks` are models of which only failures came lately, `problem` is the store's.
    """

    follower: Health
    nodes: Sequence[NodeSeen]
    eligible: bool
    streaks: Sequence[Streak] = ()
    problem: str = ""


def judge(facts: Facts, now: int, bounds: Bounds) -> Health:
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
    skewed = [node for node in facts.nodes if node.skew is not None and abs(node.skew) >= bounds.skew_ms]
    if skewed:
        told = ", ".join(f"{node.endpoint} by {skew_told(node.skew or 0)}" for node in skewed)
        return Health("degraded", "clock_skew", 0, f"Clocks that differ from this gateway's: {told}.")
    impatient = [told for node in facts.nodes for told in _impatient(node, bounds)]
    if impatient:
        return Health("degraded", "limits_out_of_order", 0, " ".join(impatient))
    if facts.follower.state != "ready":
        return facts.follower
    return unless(facts.problem, Health("ready"))


def _impatient(node: NodeSeen, bounds: Bounds) -> list[str]:
    """Where this gateway gives up before the node does, with both figures."""
    pairs = (
        ("answer_s", bounds.answer_ms, "a whole answer", node.request_ms),
        ("idle_s", bounds.idle_ms, "a silence within a stream", node.keep_alive_ms),
    )
    return [
        f"{node.endpoint} allows {what} {inner / 1000:g} s; {name} of this gateway is {outer / 1000:g} s."
        for name, outer, what, inner in pairs
        if 0 < outer <= inner
    ]


def skew_told(ms: int) -> str:
    """A measured difference of clocks in words: "62 min ahead"."""
    return f"{lasted(abs(ms))} {'ahead' if ms > 0 else 'behind'}"
