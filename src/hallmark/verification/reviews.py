"""Reviews: what people and named evaluations said of an answer, and what follows for the mark `reviewed`.

1. A review counts when a registered reviewer signed it about a receipt that stands in the log before it.
2. Nobody reviews what they executed: not the node's key, not its owner, not the ticket's gateway.
3. The newest review of each reviewer counts; `undecided` withdraws what the same reviewer said before.
4. Reviewers who disagree make the mark disputed, unanimous ones decide it. No other mark is ever touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.marks import Finding, Question, State
from hallmark.core.receipt import Receipt
from hallmark.core.statements import Judgement, Review, Role, text_of
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.verification import wording
from hallmark.verification.dispute_checks import check_bare
from hallmark.verification.examination import Examination, Placed, require
from hallmark.verification.judged_statement import JudgedStatement
from hallmark.verification.outcome import OK, Rule
from hallmark.verification.reasons import sentence_of


class Counted(msgspec.Struct, frozen=True):
    """A review that counts: the statement, how far it is struck, and since when (unix ms)."""

    review: Review
    state: State
    at: int


def check_reviewer(case: JudgedStatement) -> str:
    """The reviewer signed, and is registered as one."""
    review = _review(case)
    if case.signer(0) != review.reviewer:
        return "bad_signature"
    known = case.registry.member(review.reviewer, Role.REVIEWER, case.index)
    return OK if known is not None else "reviewer_not_registered"


def check_review_subject(case: JudgedStatement) -> str:
    """The item is the receipt that stands at the named position, before this entry."""
    review = _review(case)
    known = case.context.judgements.receipts.get(review.item)
    return OK if known is not None and known.index == review.subject else "review_subject"


def check_review_distance(case: JudgedStatement) -> str:
    """The reviewer took no part in making the answer."""
    review = _review(case)
    known = case.context.judgements.receipts.get(review.item)
    return "reviewer_is_executor" if known is not None and review.reviewer in known.parties else OK


def check_judgement(case: JudgedStatement) -> str:
    """The judgement is one of those that there are."""
    return OK if _review(case).judgement in tuple(Judgement) else "judgement_unknown"


REVIEW_RULES: Final[tuple[Rule[JudgedStatement], ...]] = (
    ("form", check_bare),
    ("signature", check_reviewer),
    ("subject", check_review_subject),
    ("distance", check_review_distance),
    ("judgement", check_judgement),
)


def parties(receipt: Receipt, owner: bytes | None, gateway: bytes | None) -> tuple[bytes, ...]:
    """Who executed a request: the node's key, its owner, the gateway that chose it; 20 bytes each."""
    return tuple(party for party in (receipt.node, owner, gateway) if party)


def reviewed(exam: Examination) -> Iterable[Finding]:
    """The reviews that a dossier brings: of this receipt, signed by reviewers of the trust file."""
    counted = [_counted(exam, part) for part in exam.reviews]
    if counted and (exam.dossier.entry is None or not exam.parties_known):
        return [Finding(Question.REVIEWED, State.ABSENT, "", 0, detail={"what": wording.UNCOUNTED})]
    return conclude(counted, exam.receipt.digest())


def conclude(reviews: Sequence[Counted], evidence: bytes) -> list[Finding]:
    """What reviews, in log order, say together; nothing when none stands."""
    newest: dict[bytes, Counted] = {}
    for counted in reviews:
        newest[counted.review.reviewer] = counted
    fit = _of(newest, Judgement.FIT)
    unfit = _of(newest, Judgement.UNFIT)
    if unfit:
        state, reason = (State.DISPUTED, "reviewers_disagree") if fit else (State.FAILED, "judged_unfit")
        detail = {"what": sentence_of(reason).rstrip("."), "reviewers": _names((*fit, *unfit))}
        return [
            Finding(Question.REVIEWED, state, _who(unfit), min(c.at for c in unfit), evidence, reason, detail)
        ]
    return [_positive(fit, state, evidence) for state in sorted({c.state for c in fit}, key=lambda s: s.rank)]


def _positive(fit: Sequence[Counted], state: State, evidence: bytes) -> Finding:
    """The finding of those whose review reached at least `state`."""
    counted = tuple(c for c in fit if c.state.reaches(state))
    told = wording.judged([text_of(c.review.reason) for c in counted])
    detail = {"what": told, "reviewers": _names(counted)}
    return Finding(
        Question.REVIEWED, state, _who(counted), max(c.at for c in counted), evidence, detail=detail
    )


def _counted(exam: Examination, placed: Placed) -> Counted:
    """A review that holds against all that the file shows; whether all is shown is for the caller to say."""
    statement, receipt = placed.entry.statement, exam.receipt
    require(isinstance(statement, Review) and len(placed.entry.signatures) == 1, "review_subject")
    review = cast(Review, statement)
    require(not placed.entry.attachments and placed.part.after is None, "attachments_malformed")
    require(review.network == receipt.network, "wrong_network")
    entry = exam.dossier.entry
    require(entry is None or review.subject == entry.index, "review_subject")
    require(review.subject < placed.part.index, "review_subject")
    require(review.item == receipt.digest(), "review_subject")
    require(
        recover_statement(review, exam.trust.chain_id, placed.entry.signatures[0]) == review.reviewer,
        "bad_signature",
    )
    require(hex0x(review.reviewer) in exam.trust.reviewers, "reviewer_not_registered")
    owner = unhex(exam.bundle.owner) if exam.shows_bundle else None
    require(review.reviewer not in parties(receipt, owner, exam.gateway), "reviewer_is_executor")
    require(review.judgement in tuple(Judgement), "judgement_unknown")
    if placed.place is None:
        return Counted(review, State.CHECKED, review.at)
    return Counted(review, State.WITNESSED, placed.witnessed_at)


def _of(newest: Mapping[bytes, Counted], judgement: Judgement) -> tuple[Counted, ...]:
    return tuple(c for c in newest.values() if c.review.judgement == judgement)


def _names(counted: Sequence[Counted]) -> str:
    return " ".join(hex0x(c.review.reviewer) for c in counted)


def _who(counted: Sequence[Counted]) -> str:
    if len(counted) == 1:
        return f"reviewer {wording.short(counted[0].review.reviewer)}"
    return f"{len(counted)} reviewers"


def _review(case: JudgedStatement) -> Review:
    return cast(Review, case.entry.statement)
