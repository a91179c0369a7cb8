"""The checks on verdicts and faults. Neither is believed for its word: both point at entries to look at.

A verdict is admitted when a full node signed it about an entry that exists; whether its reason applies is
what every other full node re-checks, answering with a `refuted_verdict` fault when it does not. A fault is
admitted only when re-checking the entries that it names shows what it says.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.statements import Role, text_of
from hallmark.verification.objections import EQUIVOCATION, REFUTED_VERDICT
from hallmark.verification.outcome import NO_SUBJECT, OK, Rule
from hallmark.verification.statements import EntryCase


def check_bare(case: EntryCase) -> str:
    """One signature, no attachment."""
    if case.entry.attachments:
        return "attachments_malformed"
    return OK if len(case.entry.signatures) == 1 else "signature_count"


def check_verdict_author(case: EntryCase) -> str:
    """The author signed, and is a full node in good standing."""
    author = case.verdict.author
    if case.signer(0) != author:
        return "bad_signature"
    known = case.registry.member(author, Role.FULL_NODE, case.index)
    if known is None:
        return "author_not_full_node"
    return "key_at_fault" if known.faults else OK


def check_verdict_subject(case: EntryCase) -> str:
    """The subject stands in the log before the verdict, and it is the one whose hash is named."""
    verdict = case.verdict
    if verdict.subject >= case.index:
        return "subject_in_future"
    return OK if case.context.judgements.tree.leaf(verdict.subject) == verdict.leaf else "subject_mismatch"


def check_verdict_reason(case: EntryCase) -> str:
    """The reason is a text code."""
    return OK if case.reason.isascii() and case.reason.isprintable() and case.reason else "reason_unreadable"


def check_fault_author(case: EntryCase) -> str:
    """The author signed. Anyone may prove an equivocation; only full nodes refute verdicts."""
    fault = case.fault
    if case.signer(0) != fault.author:
        return "bad_signature"
    if text_of(fault.kind) == EQUIVOCATION:
        return OK
    known = case.registry.member(fault.author, Role.FULL_NODE, case.index)
    return OK if known is not None else "author_not_full_node"


def check_fault_proof(case: EntryCase) -> str:
    """Looking at the named entries again shows the fault."""
    fault, judgements = case.fault, case.context.judgements
    kind = text_of(fault.kind)
    if max(fault.first, fault.second) >= case.index:
        return "subject_in_future"
    if kind == EQUIVOCATION:
        first, second = (judgements.contradictory.get(at) for at in (fault.first, fault.second))
        if first is None or second is None or first[:2] != second[:2] or first[2] == second[2]:
            return "fault_unfounded"
        return OK if first[0] == fault.culprit else "fault_unfounded"
    if kind != REFUTED_VERDICT:
        return "fault_kind_unknown"
    verdict = judgements.verdicts.get(fault.first)
    if verdict is None or fault.first != fault.second or verdict.author != fault.culprit:
        return "fault_unfounded"
    if judgements.unsure(verdict.subject, verdict.reason):
        return NO_SUBJECT
    return OK if judgements.refutes(verdict.subject, verdict.reason) else "fault_unfounded"


VERDICT_RULES: Final[tuple[Rule[EntryCase], ...]] = (
    ("form", check_bare),
    ("signature", check_verdict_author),
    ("subject", check_verdict_subject),
    ("reason", check_verdict_reason),
)
FAULT_RULES: Final[tuple[Rule[EntryCase], ...]] = (
    ("form", check_bare),
    ("signature", check_fault_author),
    ("proof", check_fault_proof),
)
