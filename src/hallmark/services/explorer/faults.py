"""Proven faults, and objections with what became of them."""

from __future__ import annotations

from collections.abc import Iterable

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.core.receipt import Receipt
from hallmark.core.statements import Fault, Verdict, text_of
from hallmark.services.explorer.entries import FAULTS
from hallmark.services.explorer.views import FaultRow
from hallmark.services.following.watch import Watch
from hallmark.verification.objections import REFUTED_VERDICT, counting, tolerated
from hallmark.verification.reasons import sentence_of


def rows(watch: Watch, positions: Iterable[int]) -> tuple[FaultRow, ...]:
    """The entries at these positions that admission accepted; one that does not hold accuses nobody."""
    found = []
    for index in positions:
        if watch.replica.failures(index):
            continue
        admitted, entry = watch.leaves.entry(index)
        row = _row(watch, index, admitted, entry)
        found += [row] if row is not None else []
    return tuple(found)


def _row(watch: Watch, index: int, admitted: int, entry: Entry) -> FaultRow | None:
    match entry.statement:
        case Fault() as fault:
            return _fault(watch, index, admitted, fault)
        case Verdict() as verdict:
            return _verdict(watch, index, admitted, verdict)
    return None


def _fault(watch: Watch, index: int, admitted: int, fault: Fault) -> FaultRow:
    kind = text_of(fault.kind)
    subjects = tuple(dict.fromkeys((fault.first, fault.second)))
    member = watch.replica.registry.members.get(fault.culprit)
    state, told = "proven", FAULTS.get(kind, f"Fault {kind}.")
    if kind == REFUTED_VERDICT and member is not None and not member.faults:
        state = "said"
        told += f" It counts once {tolerated(watch.replica.registry) + 1} full nodes have said so."
    return FaultRow(index, admitted, kind, hex0x(fault.culprit), hex0x(fault.author), subjects, state, told)


def _verdict(watch: Watch, index: int, admitted: int, verdict: Verdict) -> FaultRow:
    registry = watch.replica.registry
    objection = registry.objections[verdict.subject]
    counts = counting(registry, objection)
    if verdict.author not in counts:
        state = "refuted" if objection.refuted_by.get(verdict.author) else "does not count"
    elif objection.by[verdict.author][0] != index:
        state = "repeated"
    else:
        standing = watch.replica.standing(verdict.subject).state
        state = standing.value if standing is not None else "does not count"
    about = _about(watch, verdict.subject)
    told = f"Entry {verdict.subject}: {sentence_of(text_of(verdict.reason))}"
    return FaultRow(index, admitted, "verdict", about, hex0x(verdict.author), (verdict.subject,), state, told)


def _about(watch: Watch, index: int) -> str:
    """Whose entry is objected to: a receipt's node, else whoever the statement names first."""
    _, entry = watch.leaves.entry(index)
    statement = entry.statement
    if isinstance(statement, Receipt):
        return hex0x(statement.node)
    for name in ("key", "author", "reviewer", "owner"):
        found = getattr(statement, name, None)
        if isinstance(found, bytes):
            return hex0x(found)
    return ""
