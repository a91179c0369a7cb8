"""Whether a node does its job: an enclave that answers its host, and receipts that reach the log."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.http.health import Health, lasted, unless
from hallmark.verification.reasons import sentence_of

SILENT_MS: Final = 10_000
WAITING_MS: Final = 5_000
REFUSED_MS: Final = 3_600_000
UNSETTLED_MS: Final = 600_000
HELPS: Final = {
    "epoch_taken": (
        "A clock that was ahead, and then a store that was lost, lead to this. "
        "Start the node again once its clock has passed its old epochs, or under another address now."
    ),
}


class Facts(msgspec.Struct, frozen=True):
    """What a node's host observes. `life` is where the enclave's life stands. Lengths are ms, -1: not now:
    since the enclave last answered its host, since the log last took what waits while something did, since
    the log refused an entry for good. `problem` is the store's. `unsettled` is for how long settlement has
    failed while something waits for it, and `settlement_problem` why. `objected` says in words why full nodes
    object to the enclave's registration.
    """

    life: Health
    unheard: int = -1
    waiting: int = 0
    stuck: int = -1
    log_problem: str = ""
    refused: int = -1
    problem: str = ""
    unsettled: int = -1
    settlement_problem: str = ""
    objected: str = ""


def told_of(reason: str, count: int) -> str:
    """What `count` full nodes hold against a registration, by their reason, in words and with what helps."""
    many = "1 full node objects" if count == 1 else f"{count} full nodes object"
    helps = f" {HELPS[reason]}" if reason in HELPS else ""
    return f"{many} to this node's registration, so nobody is sent to it: {sentence_of(reason)}{helps}"


def judge(facts: Facts, now: int) -> Health:
    """Health at `now` (unix ms). A node that nobody asks has nothing that waits."""
    if facts.life.state != "ready":
        return facts.life
    if facts.unheard >= SILENT_MS:
        told = f"The enclave has not answered its host for {lasted(facts.unheard)}."
        return Health("degraded", "enclave_silent", now - facts.unheard, told)
    if facts.objected:
        return Health("degraded", "registration_objected", told=facts.objected)
    if 0 <= facts.refused < REFUSED_MS:
        told = f"The log refused an entry of this node for good, {lasted(facts.refused)} ago."
        return Health("degraded", "outbox_refused", now - facts.refused, told)
    if facts.waiting and facts.stuck >= WAITING_MS:
        why = f" ({facts.log_problem})" if facts.log_problem else ""
        told = f"{facts.waiting} entries wait for the log, for {lasted(facts.stuck)}{why}."
        return Health("degraded", "outbox_waiting", now - facts.stuck, told)
    if facts.unsettled >= UNSETTLED_MS and not facts.problem:
        told = f"What was charged is not settled, for {lasted(facts.unsettled)} ({facts.settlement_problem})."
        return Health("degraded", "settlement_late", now - facts.unsettled, told)
    return unless(facts.problem, facts.life)
