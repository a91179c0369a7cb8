"""The checks on what people and named evaluations say of answers. They touch no mark.

1. Anybody may speak, with a key of his own; one that was registered and is not to be believed may not.
2. It is about a receipt that stands in the log before it, at the place that it names.
3. Nobody speaks of what he executed: not the node's key, not its owner, not the ticket's gateway.
4. What it rests on is named. Of a receipt: one that stands in the log.
5. A speaker's newest word on a receipt counts; after eight there is no other.

Whether parameters and input records that are shown are the receipt's is for whoever counts by them: the fold
keeps no receipts.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.outcomes import RECEIPT, Basis, check_basis
from hallmark.core.statements import Said
from hallmark.verification.judged_statement import JudgedStatement
from hallmark.verification.outcome import NO_SUBJECT, OK, Rule

MOST_WORDS: Final = 8


def key_of(item: bytes, speaker: bytes) -> bytes:
    """Where the registry keeps what a speaker (20 bytes) said of a receipt (32 bytes)."""
    return item + speaker


def check_speaker(case: JudgedStatement) -> str:
    """The speaker signed, alone, with a key that nobody said is compromised."""
    speaker = case.outcome.speaker
    if case.signer(0) != speaker or len(case.signers) != 1:
        return "bad_signature"
    known = case.registry.members.get(speaker)
    since = known.compromised_since if known is not None else None
    return "key_compromised" if since is not None and case.index >= since else OK


def check_outcome_subject(case: JudgedStatement) -> str:
    """The item is the receipt that stands at the named position, before this entry."""
    known = case.context.judgements.receipts.get(case.outcome.item)
    return OK if known is not None and known.index == case.outcome.subject else "outcome_subject"


def check_outcome_distance(case: JudgedStatement) -> str:
    """The speaker took no part in making the answer."""
    known = case.context.judgements.receipts.get(case.outcome.item)
    return "speaker_is_executor" if known is not None and case.outcome.speaker in known.parties else OK


def check_said(case: JudgedStatement) -> str:
    """It is one of what there is to say."""
    return OK if case.outcome.said in tuple(Said) else "outcome_unknown"


def check_rests_on(case: JudgedStatement) -> str:
    """What it rests on is named as its kind says, and a receipt stands in the log."""
    basis = case.document
    if not isinstance(basis, Basis):
        return NO_SUBJECT
    try:
        check_basis(basis)
    except HallmarkError:
        return "basis_unsound"
    known = basis.kind != RECEIPT or unhex(basis.rests_on) in case.context.judgements.receipts
    return OK if known else "basis_unsound"


def check_words(case: JudgedStatement) -> str:
    """The speaker has words left on this receipt."""
    said = case.registry.outcomes.get(key_of(case.outcome.item, case.outcome.speaker), ())
    return OK if len(said) < MOST_WORDS else "words_used_up"


OUTCOME_RULES: Final[tuple[Rule[JudgedStatement], ...]] = (
    ("signature", check_speaker),
    ("subject", check_outcome_subject),
    ("distance", check_outcome_distance),
    ("said", check_said),
    ("basis", check_rests_on),
    ("words", check_words),
)
