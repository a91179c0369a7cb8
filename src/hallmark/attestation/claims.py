"""What every evidence kind shares: the case that is judged, the claims that it yields, and the steps.

A kind is an `Examination`: its own checks in their order, then the claims that those checks authenticated.
Everything after that (debug, measurement, binding, freshness) is the same for all kinds; see `judgement`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from hallmark.core.documents import AttestationPolicy, Measurement
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.evidence import Evidence, Expectation, Step, StepState


class Undetermined(VerificationFailed):
    """A step that can be answered neither way. It is reported as `unknown`, which is not a pass."""


class Case(msgspec.Struct, frozen=True):
    """The question: this evidence, under this policy, at this time (unix ms).

    `only`, where given, are the root digests that the caller trusts; the policy must accept them as well.
    """

    evidence: Evidence
    policy: AttestationPolicy
    at: int
    measurements: tuple[Measurement, ...]
    expect: Expectation
    only: frozenset[bytes] | None = None


class Claims(msgspec.Struct, frozen=True):
    """What authenticated evidence says.

    `registers` maps names to lower-case hex; `report_data` is what the enclave had bound (None: nothing);
    `nonce` likewise, and `carries_nonce` is False for kinds that have no field for one; `made_at` is the
    evidence's own time in unix ms, None where it carries none; `debug` says that its memory can be read.
    """

    registers: Mapping[str, str]
    report_data: bytes | None
    nonce: bytes | None = None
    carries_nonce: bool = False
    made_at: int | None = None
    debug: bool = False
    facts: Mapping[str, str] = {}


class Check(NamedTuple):
    """One named step. `run` returns a detail for people, or raises a HallmarkError.

    After a `fatal` check has failed nothing behind it can be known, so what follows is skipped.
    """

    name: str
    run: Callable[[], str]
    fatal: bool = True


class Examination(Protocol):
    """One evidence kind's own part of a verification."""

    def checks(self) -> tuple[Check, ...]:
        """The kind's checks in their order."""
        ...

    def identity(self) -> bytes:
        """32 bytes that name the signed content, whatever its signature bytes and wrapping are."""
        ...

    def claims(self) -> Claims:
        """What the evidence says; only meaningful after every fatal check has passed."""
        ...


def run(checks: Iterable[Check]) -> tuple[Step, ...]:
    """Run checks in order. Every check gets a step; what stands behind a fatal failure is `skipped`."""
    steps: list[Step] = []
    stopped_by = ""
    for check in checks:
        if stopped_by:
            steps.append(Step(check.name, StepState.SKIPPED, "not_reached", f"Step {stopped_by} failed."))
            continue
        try:
            steps.append(Step(check.name, StepState.PASS, "", check.run()))
        except HallmarkError as error:
            state = StepState.UNKNOWN if isinstance(error, Undetermined) else StepState.FAIL
            steps.append(Step(check.name, state, error.reason, error.message))
            stopped_by = check.name if check.fatal else ""
    return tuple(steps)
