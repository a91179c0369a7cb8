"""How high a mark may stand, from `claimed` to `witnessed`, on what an examination established."""

from __future__ import annotations

from collections.abc import Mapping

from hallmark.core.documents import UpstreamRecord
from hallmark.core.errors import HallmarkError
from hallmark.core.marks import Finding, Question, State
from hallmark.verification import wording
from hallmark.verification.examination import (
    Examination,
    Placed,
    committed,
    failure,
)
from hallmark.verification.proving import sound

VERIFIER = "this verifier"
NODE = "the node"


def registered(exam: Examination) -> dict[str, Placed | None]:
    """What nearly every mark rests on: the node's registration, if it is shown."""
    return {"registration": exam.registration}


def upstream_record(exam: Examination) -> UpstreamRecord | None:
    """The provider's record; None when it is not shown."""
    text = exam.dossier.documents.upstream
    if text is None:
        return None
    return committed(UpstreamRecord, text, exam.receipt.upstream, "upstream_mismatch")


def ladder(
    exam: Examination,
    question: Question,
    digest: bytes,
    detail: Mapping[str, str],
    *,
    rests_on: Mapping[str, Placed | None],
    witnessed: str = "",
) -> list[Finding]:
    """Claimed, then checked if the code was measured, then witnessed if every entry it rests on is proven.

    `witnessed` is what to say then, where full nodes saw less than this verifier did.
    """
    found = [claimed(exam, question, digest, detail)]
    if not exam.measured:
        return found
    entry = sound(lambda: exam.entry)
    placed, lacks = (entry, *rests_on.values()), []
    if entry is not None and entry.place is not None:
        lacks = [wording.NOT_SHOWN[name] for name, part in rests_on.items() if not (part and part.place)]
    told = dict(detail) | {"what": "; ".join([detail["what"], *lacks])}
    found.append(Finding(question, State.CHECKED, VERIFIER, exam.now, digest, detail=told))
    proven = [part for part in placed if part is not None]
    places = [part.place for part in proven if part.place is not None]
    if len(places) == len(placed):
        least = min(places, key=lambda place: len(place.signers))
        at = max(part.witnessed_at for part in proven)
        by = wording.quorum(len(least.signers), least.of)
        told = dict(detail) | {"what": witnessed or detail["what"]}
        found.append(Finding(question, State.WITNESSED, by, at, digest, detail=told))
    return found


def claimed(exam: Examination, question: Question, digest: bytes, detail: Mapping[str, str]) -> Finding:
    """The node's word alone."""
    return Finding(question, State.CLAIMED, NODE, exam.receipt.finished, digest, detail=detail)


def failed(exam: Examination, question: Question, error: HallmarkError) -> Finding:
    """A part that does not hold; evidence that was too old is `stale`."""
    state = State.STALE if error.reason == "evidence_stale" else State.FAILED
    detail = {"what": error.message.rstrip("."), "hint": error.hint}
    return Finding(question, state, VERIFIER, exam.now, exam.receipt.digest(), error.reason, detail)


def negative(exam: Examination, question: Question, state: State, reason: str) -> Finding:
    """What the trust file says against the answer."""
    error = failure(reason)
    detail = {"what": error.message.rstrip(".")}
    return Finding(question, state, "the trust file", exam.now, exam.receipt.digest(), reason, detail)
