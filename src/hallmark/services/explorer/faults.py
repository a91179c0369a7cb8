"""Proven faults, and objections with what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError
from hallmark.core.objected import Run
from hallmark.core.receipt import Receipt
from hallmark.core.statements import Fault, Verdict, text_of
from hallmark.faults.checks import Terms, verify_fault
from hallmark.faults.evidence import Evidence, Form, signed
from hallmark.services.explorer.entries import FAULTS, objected_by, objection_words
from hallmark.services.explorer.views import FaultRow
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.objections import EQUIVOCATION, REFUTED_VERDICT, counting, tolerated

SHOWN: Final = 20
"""Of the entries that one verdict objects to, so many are named."""


def rows(watch: FollowedLog, positions: Iterable[int]) -> tuple[FaultRow, ...]:
    """The entries at these positions that admission accepted; one that does not hold accuses nobody."""
    found = []
    for index in positions:
        if watch.replica.failures(index):
            continue
        admitted, entry = watch.leaves.entry(index)
        row = _row(watch, index, admitted, entry)
        found += [row] if row is not None else []
    return tuple(found)


def _row(watch: FollowedLog, index: int, admitted: int, entry: Entry) -> FaultRow | None:
    match entry.statement:
        case Fault() as fault:
            return _fault(watch, index, admitted, fault)
        case Verdict() as verdict:
            return _verdict(watch, index, admitted, verdict, objected_by(entry))
    return None


def _fault(watch: FollowedLog, index: int, admitted: int, fault: Fault) -> FaultRow:
    kind = text_of(fault.kind)
    subjects = tuple(dict.fromkeys((fault.first, fault.second)))
    member = watch.replica.registry.members.get(fault.culprit)
    state, told = "proven", FAULTS.get(kind, f"Fault {kind}.")
    if kind == REFUTED_VERDICT and member is not None and not member.faults:
        state = "said"
        told += f" It counts once {tolerated(watch.replica.registry) + 1} full nodes have said so."
    evidence = evidence_of(watch, fault) if kind == EQUIVOCATION else ""
    accused, author = hex0x(fault.culprit), hex0x(fault.author)
    return FaultRow(index, admitted, kind, accused, author, subjects, state, told, evidence)


def evidence_of(watch: FollowedLog, fault: Fault) -> str:
    """The two receipts that an equivocation names, as evidence that travels alone (0x-hex). It is checked
    here as anybody would; what does not hold by its bytes is not handed out: empty.
    """
    genesis, parts = watch.replica.genesis, list[bytes]()
    for at in (fault.first, fault.second):
        _, entry = watch.leaves.entry(at)
        if not isinstance(entry.statement, Receipt) or len(entry.signatures) != 1:
            return ""
        parts.append(signed(entry.statement, entry.signatures[0]))
    data = Evidence(Form.TWO_RECEIPTS, parts[0], parts[1]).encode()
    try:
        found = verify_fault(data, Terms(genesis.network, genesis.chain_id))
    except HallmarkError:
        return ""
    return hex0x(data) if found.culprit == fault.culprit else ""


def _verdict(
    watch: FollowedLog, index: int, admitted: int, verdict: Verdict, runs: tuple[Run, ...]
) -> FaultRow:
    subjects = tuple(islice((at for run in runs for at in range(run.first, run.end)), SHOWN))
    states = {_state(watch, index, verdict.author, subject) for subject in subjects}
    state = states.pop() if len(states) == 1 else "mixed"
    about, told = _about(watch, subjects[0]), objection_words(runs)
    return FaultRow(index, admitted, "verdict", about, hex0x(verdict.author), subjects, state, told)


def _state(watch: FollowedLog, index: int, author: bytes, subject: int) -> str:
    """What became of the objection of `author` in entry `index` to the entry `subject`."""
    registry = watch.replica.registry
    objection = registry.objections[subject]
    if author not in counting(registry, objection):
        return "refuted" if objection.refuted_by.get(author) else "does not count"
    if objection.by[author][0] != index:
        return "repeated"
    standing = watch.replica.standing(subject).state
    return standing.value if standing is not None else "does not count"


def _about(watch: FollowedLog, index: int) -> str:
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
