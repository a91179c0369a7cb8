"""The checks on verdicts and faults. Neither is believed for its word: both point at entries to look at.

A verdict is admitted when a full node signed it about entries that exist in this history; whether its
reasons apply is what every other full node re-checks, answering with a `refuted_verdict` fault when one does
not. A fault is admitted only when re-checking the entries that it names shows what it says.

A reason that not every replica can judge stands in a verdict alone (one that only holders of an artifact can
judge: about one entry), so that a fault, which names a verdict, is understood alike by all.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.objected import digest_of_runs
from hallmark.core.statements import Role, text_of
from hallmark.verification.judged_statement import JudgedStatement
from hallmark.verification.objections import (
    ARTIFACT_CONTENT,
    EQUIVOCATION,
    REFUTED_VERDICT,
    UNDECIDABLE_REASONS,
)
from hallmark.verification.outcome import NO_SUBJECT, OK, Rule


def check_bare(case: JudgedStatement) -> str:
    """One signature, no attachment."""
    if case.entry.attachments:
        return "attachments_malformed"
    return OK if len(case.entry.signatures) == 1 else "signature_count"


def check_verdict_author(case: JudgedStatement) -> str:
    """The author signed, and is a full node in good standing."""
    author = case.verdict.author
    if case.signer(0) != author:
        return "bad_signature"
    known = case.registry.member(author, Role.FULL_NODE, case.index)
    if known is None:
        return "author_not_full_node"
    return "key_at_fault" if known.faults else OK


def check_verdict_form(case: JudgedStatement) -> str:
    """One signature, and the list that the statement commits to."""
    if len(case.entry.attachments) != 1:
        return "attachments_malformed"
    if digest_of_runs(case.attachment(0)) != case.verdict.objected:
        return "document_mismatch"
    return OK if len(case.entry.signatures) == 1 else "signature_count"


def check_verdict_subjects(case: JudgedStatement) -> str:
    """The list can be read, and all that it names stands in the history that the verdict names."""
    verdict, runs = case.verdict, case.runs
    if not runs:
        return "objected_malformed"
    if verdict.size > case.index or runs[-1].end > verdict.size:
        return "subject_in_future"
    return OK if case.context.judgements.tree.root(verdict.size) == verdict.root else "subject_mismatch"


def check_verdict_alone(case: JudgedStatement) -> str:
    """A reason that not every replica can judge stands alone; of an artifact's content, about one entry."""
    reasons = {run.reason for run in case.runs}
    mixed = len(reasons) > 1 and reasons & UNDECIDABLE_REASONS
    many = ARTIFACT_CONTENT in reasons and sum(run.count for run in case.runs) > 1
    return "objected_malformed" if mixed or many else OK


def check_fault_author(case: JudgedStatement) -> str:
    """The author signed. Anyone may prove an equivocation; only full nodes refute verdicts."""
    fault = case.fault
    if case.signer(0) != fault.author:
        return "bad_signature"
    if text_of(fault.kind) == EQUIVOCATION:
        return OK
    known = case.registry.member(fault.author, Role.FULL_NODE, case.index)
    return OK if known is not None else "author_not_full_node"


def check_fault_proof(case: JudgedStatement) -> str:
    """Looking at the named entries again shows the fault."""
    fault, judgements = case.fault, case.context.judgements
    kind = text_of(fault.kind)
    if max(fault.first, fault.second) >= case.index:
        return "subject_in_future"
    if kind == EQUIVOCATION:
        first, second = (judgements.contradictory.get(at) for at in (fault.first, fault.second))
        if first is None or second is None or not first.contradicts(second):
            return "fault_unfounded"
        return OK if first.node == fault.culprit else "fault_unfounded"
    if kind != REFUTED_VERDICT:
        return "fault_kind_unknown"
    verdict = judgements.verdicts.get(fault.first)
    if verdict is None or fault.first != fault.second or verdict.author != fault.culprit:
        return "fault_unfounded"
    if judgements.refuted(verdict):
        return OK
    if any(judgements.unsure(subject, reason) for subject, reason in verdict.pairs()):
        return NO_SUBJECT
    return "fault_unfounded"


VERDICT_RULES: Final[tuple[Rule[JudgedStatement], ...]] = (
    ("form", check_verdict_form),
    ("signature", check_verdict_author),
    ("subject", check_verdict_subjects),
    ("alone", check_verdict_alone),
)
FAULT_RULES: Final[tuple[Rule[JudgedStatement], ...]] = (
    ("form", check_bare),
    ("signature", check_fault_author),
    ("proof", check_fault_proof),
)
