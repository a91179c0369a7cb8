"""The checks on what was made from what. It is an owner's word and touches no mark.

1. The author signed, alone, and owns the label of the derived manifest. Nobody speaks of another's artifact.
2. Both manifests stand in the log before it.
3. Nothing is made from itself, at however many removes; after sixteen nobody looks further.
4. The document names a tool and what was measured.
5. The first word on a manifest stays: there is no second.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.derivations import Making, check_making
from hallmark.core.errors import HallmarkError
from hallmark.verification.judged_statement import JudgedStatement
from hallmark.verification.outcome import NO_SUBJECT, OK, Rule

MOST_STEPS: Final = 16


def check_author(case: JudgedStatement) -> str:
    """The author signed, alone."""
    signed = case.signer(0) == case.derivation.author and len(case.signers) == 1
    return OK if signed else "bad_signature"


def check_manifests(case: JudgedStatement) -> str:
    """Both manifests are those of versions that the log has taken."""
    said, known = case.derivation, case.registry.manifests
    return OK if said.source in known and said.derived in known else "derivation_manifest"


def check_owner(case: JudgedStatement) -> str:
    """The author owns the label of what was made."""
    found = case.registry.manifests.get(case.derivation.derived)
    label = case.registry.labels.get(found[1].label) if found is not None else None
    if label is None:
        return NO_SUBJECT
    return OK if label.owner == case.derivation.author else "derivation_not_owner"


def check_circle(case: JudgedStatement) -> str:
    """What it was made from was not made from it."""
    at = case.derivation.source
    for _ in range(MOST_STEPS):
        if at == case.derivation.derived:
            return "derivation_circular"
        before = case.registry.derivations.get(at)
        if before is None:
            return OK
        at = before.source
    return "derivation_too_long"


def check_making_document(case: JudgedStatement) -> str:
    """The document names a tool and figures as it has to."""
    if not isinstance(case.document, Making):
        return NO_SUBJECT
    try:
        check_making(case.document)
    except HallmarkError:
        return "derivation_unsound"
    return OK


def check_first(case: JudgedStatement) -> str:
    """Nothing was said of this manifest before."""
    return "derivation_repeated" if case.derivation.derived in case.registry.derivations else OK


DERIVATION_RULES: Final[tuple[Rule[JudgedStatement], ...]] = (
    ("signature", check_author),
    ("manifests", check_manifests),
    ("owner", check_owner),
    ("circle", check_circle),
    ("making", check_making_document),
    ("first", check_first),
)
