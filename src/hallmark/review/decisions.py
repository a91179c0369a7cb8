"""Decisions in their canonical bytes, so that two evaluators can be compared byte for byte.

A decision of one policy is `DecisionDocument`; what the gate decided about an item under all of its policies
is `GateDocument`. Both are canonical documents (see `hallmark.core.document`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hallmark.core.document import Document, Hex32
from hallmark.core.marks import Mark, Question
from hallmark.core.policy import Decision, Shortfall
from hallmark.core.shown import ShownMark, shown


class ShortfallRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mark that does not meet the policy, as text."""

    question: str
    required: str
    state: str
    reason: str


class DecisionDocument(Document, frozen=True):
    """What one policy says of seven marks at `at` (unix ms)."""

    TAG = "hallmark/decision/v1"

    outcome: str
    policy: str
    at: int
    missing: tuple[ShortfallRow, ...]
    failed: tuple[ShortfallRow, ...]
    sentence: str
    marks: tuple[ShownMark, ...]


class LackRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that holds an item: by which policy ("" when no policy says so), about which question ("item"
    when it is about no mark), what is required and what is there, the reason code, and whether it speaks
    against the answer (`failed`) or is not there yet.
    """

    policy: str
    question: str
    required: str
    state: str
    reason: str
    failed: bool = False

    @property
    def code(self) -> str:
        """`<question>:<reason>`, which queues are sorted by."""
        return f"{self.question}:{self.reason}"


class GateDocument(Document, frozen=True):
    """What the gate decided about version `version` of an item. `policies` are digests of the ClearingPolicy
    documents that were enforced, `screen` is that of the Screen, which holds the marks that were judged.
    """

    TAG = "hallmark/gate/v1"

    item: str
    version: int
    at: int
    outcome: str
    lacks: tuple[LackRow, ...]
    policies: tuple[Hex32, ...]
    screen: Hex32


def document(decision: Decision) -> DecisionDocument:
    """A decision in its canonical form."""
    return DecisionDocument(
        decision.outcome.value,
        decision.policy,
        decision.at,
        _rows(decision.missing),
        _rows(decision.failed),
        decision.sentence(),
        shown(decision.marks),
    )


def mark_from_json(value: Mapping[str, object]) -> Mark:
    """A mark from the form of `ShownMark`. Raises msgspec.ValidationError when it is not one."""
    row = msgspec.convert(value, type=ShownMark)
    plain = msgspec.to_builtins(row) | {"evidence": b""}
    return msgspec.structs.replace(
        msgspec.convert(plain, type=Mark), evidence=bytes.fromhex(row.evidence.removeprefix("0x"))
    )


def marks_from_json(values: list[Mapping[str, object]]) -> dict[Question, Mark]:
    """Seven marks from their JSON forms, by question."""
    found = [mark_from_json(value) for value in values]
    return {mark.question: mark for mark in found}


def _rows(found: tuple[Shortfall, ...]) -> tuple[ShortfallRow, ...]:
    return tuple(ShortfallRow(s.question.value, s.required, s.state.value, s.reason) for s in found)
