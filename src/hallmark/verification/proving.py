"""The mark `proved`: the receipt's place in the log, objections to it, and what the chain holds of it.

What contradicts is never passed over as if it were absent, and what is absent contradicts nothing:

- two checkpoints of one size with two roots in one file: `checkpoint_conflict`;
- an anchor of another contract, or of another root than a proof here gives: `anchor_mismatch`;
- a chain that was read and says otherwise than the anchor: `anchor_contradicted`;
- a chain that was asked and did not say (not reached, not deep enough): not anchored, and said so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.marks import Finding, Question, State
from hallmark.verification import wording
from hallmark.verification.dossier import Anchor
from hallmark.verification.examination import Examination, Placed, failure, require
from hallmark.verification.genesis import ProvenPlace
from hallmark.verification.objections_after import Objections, leads
from hallmark.verification.reasons import question_of, sentence_of


def proved(exam: Examination) -> Iterable[Finding]:
    """Which full nodes checked the log up to and beyond this receipt."""
    placed = exam.entry
    if placed is None:
        return []
    if placed.place is None:
        return [_absent({"what": wording.UNPROVEN_AFTER})] if placed.part.after is not None else []
    place, objected = placed.place, exam.objections()
    if objected is not None and objected.state is not None:
        return _objected(exam, objected)
    detail = _told(place, exam.receipt.mode, silent=objected is not None)
    by = wording.quorum(len(place.signers), place.of)
    return [Finding(Question.PROVED, State.WITNESSED, by, placed.witnessed_at, place.root, detail=detail)]


def consistent(exam: Examination) -> Iterable[Finding]:
    """Nothing, unless two checkpoints behind the proofs in this file have one size and two roots."""
    roots: dict[int, bytes] = {}
    for place in _places(exam):
        require(roots.setdefault(place.size, place.root) == place.root, "checkpoint_conflict")
    return []


def anchored(exam: Examination) -> Iterable[Finding]:
    """The anchor, as the caller's own reading of the chain shows it; the server's word alone is nothing."""
    word, known = exam.dossier.anchor, exam.trust.anchor
    if word is None:
        return []
    if known is not None:
        require((word.contract, word.chain_id) == (known.contract, known.chain_id), "anchor_mismatch")
    for place in _places(exam):
        require(place.size != word.size or place.root == unhex(word.root), "anchor_mismatch")
    placed = sound(lambda: exam.entry)
    covers = placed is not None and _covers(word, placed)
    if exam.check_anchor is None or known is None:
        return []
    record = AnchorRecord(
        word.chain_id, word.contract, word.transaction, word.block, word.size, word.root, word.confirmations
    )
    try:
        confirmations = exam.check_anchor(record)
    except VerificationFailed as error:
        raise failure("anchor_contradicted", f"{error.reason}: {error.message}") from error
    except HallmarkError as error:
        return [_absent({"anchor": wording.unread(error.reason)})]
    if not covers or placed is None or placed.place is None:
        return [_absent({"anchor": wording.NO_PATH})]
    place = placed.place
    detail = _told(place, exam.receipt.mode, silent=placed.part.after is not None) | {
        "chain": str(word.chain_id),
        "transaction": word.transaction,
        "confirmations": str(confirmations),
    }
    by = wording.quorum(len(place.signers), place.of)
    return [Finding(Question.PROVED, State.ANCHORED, by, exam.now, unhex(word.root), detail=detail)]


def sound(read: Callable[[], Placed | None]) -> Placed | None:
    """A part of the file; None also when it does not hold, which is for its own mark to say."""
    try:
        return read()
    except HallmarkError:
        return None


def _places(exam: Examination) -> Iterator[ProvenPlace]:
    """Where the proofs of this file put its entries; what does not hold is left out."""
    read = (lambda: exam.entry, lambda: exam.registration, lambda: exam.version)
    try:
        reviews = exam.reviews
    except HallmarkError:
        reviews = ()
    for placed in (*map(sound, read), *reviews):
        if placed is not None and placed.place is not None:
            yield placed.place


def _covers(word: Anchor, placed: Placed) -> bool:
    """Whether the anchor's checkpoint is shown to hold the receipt's entry; raises when its path leads
    elsewhere.
    """
    place = placed.place
    if place is None:
        return False
    if word.path:
        path = [unhex(sibling) for sibling in word.path]
        leaf, root = placed.part.leaf(), unhex(word.root)
        require(leads(leaf, place.index, word.size, path=path, root=root), "anchor_mismatch")
        return True
    return word.size == place.size


def _told(place: ProvenPlace, mode: int, *, silent: bool) -> dict[str, str]:
    told = wording.silent if silent else wording.proved
    return {
        "what": told(place.index, place.size, mode),
        "index": str(place.index),
        "size": str(place.size),
        "root": hex0x(place.root),
        "signers": ", ".join(place.signers),
    }


def _objected(exam: Examination, found: Objections) -> list[Finding]:
    """Objections in the log speak against `proved` and against the mark of their reason."""
    by = f"{found.by} full node{'s' if found.by > 1 else ''}"
    state = found.state or State.DISPUTED
    detail = {"what": sentence_of(found.reason).rstrip(".")}
    digest = exam.receipt.digest()
    questions = dict.fromkeys((Question.PROVED, question_of(found.reason)))
    return [Finding(q, state, by, exam.now, digest, found.reason, detail) for q in questions]


def _absent(detail: Mapping[str, str]) -> Finding:
    return Finding(Question.PROVED, State.ABSENT, "", 0, detail=detail)
