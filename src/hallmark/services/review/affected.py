"""Which items an entry of the log can change. Everything that `verification.live` reads beside the receipt
itself
has its line here; an item that no line names need not be judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry, Kind
from hallmark.core.errors import HallmarkError
from hallmark.core.objected import Run, decode_runs
from hallmark.core.statements import (
    Compromise,
    Fault,
    PolicyStatement,
    Registration,
    Retirement,
    Review,
    Revocation,
    Role,
    Verdict,
)
from hallmark.services.review.schema import ITEMS
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
        Kind.POLICY,
    )
)
UNDECIDED: Final = ITEMS.c.state.in_(("HOLD", "CLEAR"))
MANY: Final = 500


def affected(replica: Replica, entry: Entry) -> Iterator[Clause]:
    """Conditions that together name every item whose marks or policies this entry can change."""
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
        case Retirement():
            yield from _standing(replica, statement.key)
        case PolicyStatement():
            yield UNDECIDED


def configured(replica: Replica, digest: bytes) -> Iterator[Clause]:
    """Items that an enclave configuration, known from now on, can let rise."""
    name = hex0x(digest)
    attested = replica.memory.attested.items()
    yield from _nodes(node for (node, _), known in attested if known.bundle.configuration == name)


def anchored(before: int, size: int) -> Clause:
    """Items that a larger anchored checkpoint covers and the one before it did not."""
    return sa.and_(ITEMS.c.position >= before, ITEMS.c.position < size)


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
        yield ITEMS.c.node.in_(listed[start : start + MANY])
