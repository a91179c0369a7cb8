"""Faults F1 to F9: what each costs, when, and what can show it today.

Shares are parts per million of `basis`. The table is what is agreed; no network deploys the contract that
holds stake (Stake.sol) yet, so nothing is taken by it. Statistics never slash: F5 and F9 have no share,
whatever the evidence.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class Number(enum.IntEnum):
    """Which fault. Numbers are for ever."""

    EQUIVOCATION = 1
    BAD_BINDING = 2
    STALE_ATTESTATION = 3
    WRONG_RESULT = 4
    WRONG_MODEL = 5
    UNAVAILABLE_EVIDENCE = 6
    DOUBLE_SETTLEMENT = 7
    FALSE_AUDIT = 8
    DOWNTIME = 9


class Basis(enum.Enum):
    """Of what a share is taken."""

    EXPOSURE = "exposure"
    CLAIM = "claim"


class When(enum.Enum):
    """When a sanction is due."""

    AT_ONCE = "at once"
    AFTER_WINDOW = "after the dispute window"
    AFTER_REVIEW = "after a review"


class Sanction(msgspec.Struct, frozen=True):
    """What a fault costs, and honestly what shows it today.

    `share` in parts per million of `basis`; `jailed` or `ejected`: no more work until released, or for ever.
    `provable`: `hallmark.faults.checks` shows it from bytes. `today` says in words who finds it, or that
    nobody does.
    """

    number: Number
    what: str
    share: int
    when: When
    today: str
    basis: Basis = Basis.EXPOSURE
    jailed: bool = True
    ejected: bool = False
    statistical: bool = False
    provable: bool = False


_ROWS: Final = (
    Sanction(
        Number.EQUIVOCATION,
        "two receipts for one place, or two checkpoints of one size",
        1_000_000,
        When.AT_ONCE,
        "Full nodes log a fault about two receipts in the log; evidence of either kind can be checked here.",
        ejected=True,
        provable=True,
    ),
    Sanction(
        Number.BAD_BINDING,
        "a receipt under a key bundle of another key or network",
        500_000,
        When.AT_ONCE,
        "Evidence can be checked here. Full nodes object to such a receipt, and log no fault about it.",
        provable=True,
    ),
    Sanction(
        Number.STALE_ATTESTATION,
        "a receipt outside its attestation's time, or after its measurement was revoked",
        100_000,
        When.AT_ONCE,
        "Full nodes object to such a receipt. Showing it takes the whole log, so no evidence alone does.",
    ),
    Sanction(
        Number.WRONG_RESULT,
        "an answer that a referee's recomputation contradicts",
        500_000,
        When.AFTER_WINDOW,
        "Nothing shows it: there are no disputes yet.",
    ),
    Sanction(
        Number.WRONG_MODEL,
        "answers whose statistics speak against the model named",
        0,
        When.AFTER_REVIEW,
        "Nothing shows it: there are no audits yet. It will never take stake.",
        statistical=True,
    ),
    Sanction(
        Number.UNAVAILABLE_EVIDENCE,
        "a challenge that was not answered by its deadline",
        0,
        When.AFTER_WINDOW,
        "Nothing shows it: no delivery of a challenge is witnessed. The share after three is not decided.",
    ),
    Sanction(
        Number.DOUBLE_SETTLEMENT,
        "one receipt settled in two claims",
        3_000_000,
        When.AT_ONCE,
        "No check yet: settlements commit to a root of requests, and nobody compares two roots.",
        basis=Basis.CLAIM,
    ),
    Sanction(
        Number.FALSE_AUDIT,
        "an auditor's word that a referee contradicts",
        500_000,
        When.AFTER_WINDOW,
        "Nothing shows it: there are no audits yet. A full node's false verdict is a fault of the log.",
    ),
    Sanction(
        Number.DOWNTIME,
        "missing heartbeats",
        0,
        When.AT_ONCE,
        "Nothing shows it: gateways route past a node that is away. It will never take stake.",
        statistical=True,
    ),
)
SANCTIONS: Final[dict[Number, Sanction]] = {row.number: row for row in _ROWS}
