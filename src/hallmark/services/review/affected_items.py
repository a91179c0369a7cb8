"""Which items an entry of the log can change. Everything that `verification.live` reads beside the receipt
itself
has its line here; an item that no line names need not be judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from hallmark.core.document import hex0x
from hallmark.core.documents import ClearingPolicy
from hallmark.core.entries import Entry, Kind
from hallmark.core.errors import HallmarkError
from hallmark.core.marks import Question, State
from hallmark.core.objected import Run, decode_runs
from hallmark.core.statements import (
    Compromise,
    Fault,
    Registration,
    Retirement,
    Review,
    Revocation,
    Role,
    Verdict,
)
from hallmark.services.review.schema import ITEMS
from hallmark.store.terms import among
from hallmark.verification.attested import Attested
from hallmark.verification.fold import Replica

Clause = sa.ColumnElement[bool]
WATCHED: Final = frozenset(
    (
        Kind.RECEIPT,
        Kind.REVIEW,
        Kind.VERDICT,
        Kind.FAULT,
        Kind.COMPROMISE,
        Kind.REVOCATION,
        Kind.REGISTRATION,
        Kind.RETIREMENT,
    )
)
UNDECIDED: Final = ITEMS.c.state.in_(("HOLD", "CLEAR"))
MANY: Final = 500


class Bundles:
    """What marks read of registered key bundles, so that a registration that only refreshes its evidence
    has nothing judged again. What is not known here counts as changed.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], tuple[bytes, str, str] | None] = {}

    def see(self, replica: Replica) -> None:
        """Take everything that is registered now for known."""
        self._known = {bundle: _read_of(attested) for bundle, attested in replica.memory.attested.items()}

    def changed(self, replica: Replica, key: bytes, document: bytes) -> bool:
        """Whether marks read something else of this bundle than they did."""
        attested = replica.memory.attested.get((key, document))
        found = None if attested is None else _read_of(attested)
        known = (key, document) in self._known and self._known[key, document] == found
        self._known[key, document] = found
        return not known


def _read_of(attested: Attested) -> tuple[bytes, str, str]:
    evidence = attested.evidence
    said = (evidence.assurance.value, evidence.measurement) if evidence is not None else ("", "")
    return (attested.measurement, *said)


def affected(replica: Replica, entry: Entry, bundles: Bundles) -> Iterator[Clause]:
    """Conditions that together name every item whose marks this entry can change."""
    statement = entry.statement
    match statement:
        case Review():
            yield ITEMS.c.id == statement.item
        case Verdict():
            yield from _runs(_read_runs(entry))
        case Fault():
            yield from _positions(replica, (statement.first, statement.second))
        case Compromise():
            yield ITEMS.c.node == statement.key
            yield from _standing(replica, statement.key)
        case Revocation():
            yield from _nodes(
                node
                for (node, _), attested in replica.memory.attested.items()
                if attested.measurement == statement.document
            )
        case Registration() if statement.role == Role.FULL_NODE:
            yield from _standing(replica, statement.key)
        case Registration() if statement.role == Role.NODE:
            if bundles.changed(replica, statement.key, statement.document):
                yield ITEMS.c.node == statement.key
        case Retirement():
            yield from _standing(replica, statement.key)


def configured(replica: Replica, digest: bytes) -> Iterator[Clause]:
    """Items that an enclave configuration, known from now on, can let rise."""
    name = hex0x(digest)
    attested = replica.memory.attested.items()
    yield from _nodes(node for (node, _), known in attested if known.bundle.configuration == name)


def anchored(before: int, size: int) -> Clause:
    """Undecided or final items that a larger anchored checkpoint covers and the one before it did not."""
    return sa.and_(ITEMS.c.position >= before, ITEMS.c.position < size)


def weighs_anchors(policies: Iterable[ClearingPolicy]) -> bool:
    """Whether how far the chain holds the log can change what one of these policies says."""
    return any(
        need.question == Question.PROVED
        and (need.state == State.ANCHORED or need.max_age > 0 or bool(need.verifiers))
        for policy in policies
        for need in policy.requires
    )


def _positions(replica: Replica, subjects: Sequence[int]) -> Iterator[Clause]:
    """The entries at fault, and what those among them that are verdicts object to."""
    yield ITEMS.c.position.in_(sorted(set(subjects)))
    for at in sorted(set(subjects)):
        verdict = replica.judgements.verdicts.get(at)
        if verdict is not None:
            yield from _runs(verdict.runs)


def _runs(runs: Iterable[Run]) -> Iterator[Clause]:
    for run in runs:
        yield sa.and_(ITEMS.c.position >= run.first, ITEMS.c.position < run.end)


def _read_runs(entry: Entry) -> tuple[Run, ...]:
    try:
        return decode_runs(entry.attachments[0]) if entry.attachments else ()
    except HallmarkError:
        return ()


def _standing(replica: Replica, key: bytes) -> Iterator[Clause]:
    """How many verdicts decide depends on who is a full node: everything that is objected to."""
    member = replica.registry.members.get(key)
    if member is not None and member.role is Role.FULL_NODE:
        objected = sorted(replica.registry.objections)
        for start in range(0, len(objected), MANY):
            yield ITEMS.c.position.in_(objected[start : start + MANY])


def _nodes(nodes: Iterable[bytes]) -> Iterator[Clause]:
    listed = sorted(set(nodes))
    for start in range(0, len(listed), MANY):
        yield among(ITEMS.c.node, listed[start : start + MANY])
