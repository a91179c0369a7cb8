"""Whether anchoring does its job: what a quorum cosigned reaches the chain in time."""

from __future__ import annotations

import msgspec

from hallmark.http.health import Health, lasted


class Facts(msgspec.Struct, frozen=True):
    """What the service observes: where its work stands, for how long (ms) the oldest cosigned checkpoint that
    it knows has waited for the chain, and how many entries are anchored of those that are wanted.
    """

    work: Health
    waited_ms: int
    anchored: int
    wanted: int


def judge(facts: Facts, now: int, limit_ms: int) -> Health:
    """Health at `now` (unix ms). A log that does not grow has nothing to anchor."""
    if facts.work.state != "ready" or facts.waited_ms < limit_ms:
        return facts.work
    told = (
        f"A checkpoint has waited for the chain for {lasted(facts.waited_ms)}: "
        f"{facts.anchored} of {facts.wanted} entries are anchored."
    )
    return Health("degraded", "anchoring_behind", now - facts.waited_ms, told)
