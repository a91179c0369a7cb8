"""Whether the log does its job: take entries, and get a quorum to cover them within seconds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hallmark.http.health import Health, lasted, unless
from hallmark.services.log.witness_client import WitnessStatus


class Facts(msgspec.Struct, frozen=True):
    """What a leading log observes of itself; `waited_ms` is how long the oldest entry without a quorum waits,
    `witnesses` how each full node stands, `problem` the store's.
    """

    alarm: str
    confirmed: bool
    size: int
    cosigned: int
    waited_ms: int
    witnesses: Sequence[WitnessStatus]
    problem: str = ""


def judge(facts: Facts | None, now: int, limit_ms: int) -> Health:
    """Health at `now` (unix ms); None: another process leads. An idle log has nothing to wait for."""
    if facts is None:
        return Health("degraded", "log_standby")
    if facts.alarm:
        return Health("failed", facts.alarm)
    if not facts.confirmed:
        return Health("degraded", "log_unconfirmed", 0, _missing(facts.witnesses))
    if facts.waited_ms >= limit_ms:
        waiting = facts.size - facts.cosigned
        entries = "1 entry is" if waiting == 1 else f"{waiting} entries are"
        told = f"{entries} not covered by a quorum, for {lasted(facts.waited_ms)} now"
        missing = _missing(facts.witnesses)
        return Health(
            "degraded",
            "quorum_missing",
            now - facts.waited_ms,
            f"{told}: {missing}" if missing else f"{told}.",
        )
    return unless(facts.problem, Health("ready"))


def _missing(witnesses: Sequence[WitnessStatus]) -> str:
    """Who does not cosign, and why."""
    named = [f"{one.name} {one.problem}" for one in witnesses if one.problem]
    return f"{', '.join(named)}." if named else ""
