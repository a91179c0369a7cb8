"""What a check says. A check is a pure function from a case to a reason code.

OK means that it holds, NO_SUBJECT that there is nothing here for it to check (a direct request has no
ticket), anything else is the reason why it does not hold. Reason codes are listed in `reasons`.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

OK: Final = ""
NO_SUBJECT: Final = "no_subject"


class Outcome(enum.StrEnum):
    """How one check ended."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    SKIP = "skip"


class Check(msgspec.Struct, frozen=True):
    """One check of one entry: its name, how it ended, and the reason code when it failed."""

    name: str
    outcome: Outcome
    reason: str = ""


CaseT = TypeVar("CaseT")
Rule = tuple[str, Callable[[CaseT], str]]


@functools.lru_cache(maxsize=512)
def outcome(name: str, reason: str) -> Check:
    """The check `name` with what its function returned."""
    if reason == OK:
        return Check(name, Outcome.PASS)
    if reason == NO_SUBJECT:
        return Check(name, Outcome.SKIP)
    return Check(name, Outcome.FAIL, reason)


def judge(rules: tuple[Rule[CaseT], ...], case: CaseT) -> tuple[Check, ...]:
    """Every rule applied to `case`, in order; none is left out because another failed."""
    return tuple([outcome(name, rule(case)) for name, rule in rules])


def failures(checks: tuple[Check, ...]) -> tuple[str, ...]:
    """Reason codes of the checks that failed, in order."""
    return tuple([check.reason for check in checks if check.outcome is Outcome.FAIL])
