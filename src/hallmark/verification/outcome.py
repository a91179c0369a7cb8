"""What a check says. A check is a pure function from a case to a reason code.

OK means that it holds, NO_SUBJECT that there is nothing here for it to check (a direct request has no
ticket), anything else is the reason why it does not hold. Reason codes are listed in `reasons`.

A check that raises has a bug, or a library that it calls has one. That must neither stop whoever judges nor
let the entry pass: the check fails with `judging_failed`, like any other reason, and the bug is counted.
Whoever runs the same program finds the same; `docs/adr/0012-last-resort.md` says what that means for others.
"""

from __future__ import annotations

import asyncio
import enum
import functools
from collections.abc import Callable
from pathlib import PurePath
from typing import Final, TypeVar

import msgspec

from hallmark.verification.tables import StateUnavailable

OK: Final = ""
NO_SUBJECT: Final = "no_subject"
JUDGING_FAILED: Final = "judging_failed"


class Outcome(enum.StrEnum):
    """How one check ended."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    SKIP = "skip"


# Read for each check of each entry: an enumeration's members are dear to look up.
FAIL: Final = Outcome.FAIL
SKIP: Final = Outcome.SKIP


class Check(msgspec.Struct, frozen=True):
    """One check of one entry: its name, how it ended, and the reason code when it failed."""

    name: str
    outcome: Outcome
    reason: str = ""


class Bug(msgspec.Struct, frozen=True):
    """Where the verifier's own program failed: the check, the exception's type, the file and line of it.

    Never the exception's text, which may hold content.
    """

    check: str
    error: str
    at: str


def bug_of(check: str, error: BaseException) -> Bug:
    """What is told of an exception that nobody meant to raise. Raises what only asks the program to end, and
    StateUnavailable.

    `Exception` alone would not do: a panic in a library's Rust code is none. An allocation that fails counts
    as well, because it is an absurd size in the input that brings it about.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | asyncio.CancelledError):
        raise error
    if isinstance(error, StateUnavailable):  # whoever judges could not look: nothing was found out
        raise error
    at, trace = "", error.__traceback__
    while trace is not None:
        at, trace = f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}", trace.tb_next
    return Bug(check, type(error).__name__, at)


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


def judge(rules: tuple[Rule[CaseT], ...], case: CaseT, stopped: Callable[[Bug], None]) -> tuple[Check, ...]:
    """Every rule applied to `case`, in order; none is left out because another failed, or raised.

    `stopped` is told of each bug.
    """
    checks = []
    for name, rule in rules:
        try:
            found = outcome(name, rule(case))
        except BaseException as error:
            stopped(bug_of(name, error))
            found = outcome(name, JUDGING_FAILED)
        checks.append(found)
    return tuple(checks)


def failures(checks: tuple[Check, ...]) -> tuple[str, ...]:
    """Reason codes of the checks that failed, in order."""
    return tuple([check.reason for check in checks if check.outcome is FAIL])
