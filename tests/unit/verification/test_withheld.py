"""Left out is not contrary: every part of a saved receipt, there, left out, and contrary."""

from __future__ import annotations

import functools

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.core.marks import Mark, Question, State
from hallmark.testing.contradictions import Contradiction, contradictions
from hallmark.testing.dossiers import proof_verifier
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.withheld import Change, Row, Withheld, put, put_document, put_entry
from hallmark.verification.dossier import Documents, Dossier, LoggedPart, RequestCopy
from hallmark.verification.examination import CheckAnchor
from hallmark.verification.offline import Verified, verify_dossier
from hallmark.verification.trust import CompromisedKey, Trust


@functools.cache
def scene() -> Withheld:
    """The answers that the rows are about."""
    return Withheld(LittleNetwork())


def verify(dossier: Dossier, trust: Trust | None = None, check: CheckAnchor | None = None) -> Verified:
    """Verify under the scene's trust file, or another, after a way through the file's bytes."""
    trust = scene().trust(trust or scene().notary.trust())
    return verify_dossier(
        Dossier.parse(dossier.encode()), trust, scene().net.now,
        verify_evidence=verify_stub_evidence, verify_proof=proof_verifier(trust), check_anchor=check,
    )  # fmt: skip


def cases() -> list[tuple[Row, Dossier]]:
    """Every row with the whole file that it changes."""
    made = scene()
    return [
        *((row, made.whole) for row in made.rows()),
        *((row, made.tokened) for row in made.token_rows()),
        *((row, made.provided) for row in made.provider_rows()),
    ]


CASES = [pytest.param(row, whole, id=f"{row.part} {row.question.value}") for row, whole in cases()]


@pytest.mark.parametrize("whole", ["whole", "tokened", "provided"])
def test_with_every_part_nothing_fails(whole: str) -> None:
    """The files that parts are taken out of hold."""
    marks = verify(getattr(scene(), whole)).marks
    assert not [mark for mark in marks.values() if mark.state.is_negative]


@pytest.mark.parametrize(("row", "whole"), CASES)
def test_a_part_that_is_left_out_fails_nothing_and_is_named(row: Row, whole: Dossier) -> None:
    """No mark is negative; the mark that speaks of the part says what is not shown."""
    marks = verify(row.without(whole)).marks
    assert {q: m.reason for q, m in marks.items() if m.state.is_negative} == {}
    mark = marks[row.question]
    assert mark.state.value == row.state
    assert row.says in mark.shows, mark.shows


@pytest.mark.parametrize(("row", "whole"), CASES)
def test_a_contrary_part_fails_with_its_reason(row: Row, whole: Dossier) -> None:
    """Something else in the part's place makes the mark fail."""
    mark = verify(row.contrary(whole)).marks[row.question]
    assert (mark.state, mark.reason) == (State.FAILED, row.reason)


def test_a_configuration_that_nothing_commits_to_is_not_said_to_be_missing() -> None:
    """Without the bundle a configuration is shown and cannot be compared: the words say that, not that it is
    not shown.
    """
    mark = verify(put_document(bundle="")(scene().whole)).marks[Question.RAN]
    assert "its configuration cannot be compared without its key bundle" in mark.shows
    assert "its configuration is not shown" not in mark.shows


def test_every_part_that_may_be_left_out_has_a_row() -> None:
    """A member that becomes optional has to be thought about here."""
    kinds = (Dossier, Documents, LoggedPart)
    optional = {f.name for kind in kinds for f in msgspec.structs.fields(kind) if not f.required}
    assert optional | {"bundle", "route"} == {row.part for row, _ in cases() if " " not in row.part}


def test_no_mark_is_raised_by_leaving_a_part_out() -> None:
    """Hiding a part never lifts a mark above where it stands with everything shown."""
    for row, whole in cases():
        with_all, without = verify(whole).marks, verify(row.without(whole)).marks
        for question in Question:
            assert without[question].state.rank <= with_all[question].state.rank, (row.part, question)


INCOMPARABLE = {
    ("configuration", "bundle"), ("configuration", "bundle of a reviewed answer"),
    ("insecure", "bundle"), ("insecure", "bundle of a reviewed answer"), ("insecure", "configuration"),
    ("after", "proof"), ("offer", "payment"), ("payment_authorization", "payment"),
    ("payment_authorization", "offer"), ("issuer_keys", "payment_authorization"),
}  # fmt: skip
"""(contrary part, part left out) where nothing shown commits to the contrary part: the mark stays at claimed,
or below, and says what is missing."""
ELSEWHERE = {
    ("evidence", "registration"): "evidence_rejected", ("proof", "proof"): "review_subject",
    ("candidates", "ticket"): "entry_mismatch",
    ("candidates", "ticket of a reviewed answer"): "entry_mismatch",
    ("candidates", "route of a reviewed answer"): "entry_mismatch",
}  # fmt: skip
"""Pairs whose contradiction is found by another comparison, and its reason."""


@pytest.mark.parametrize(("row", "whole"), CASES)
def test_a_contrary_part_fails_whatever_else_is_left_out(row: Row, whole: Dossier) -> None:
    """Leaving another part out never makes a contrary one pass for absent, but where nothing names it."""
    for other in [other for other, beside in cases() if beside is whole]:
        hidden = other.without(whole)
        changed, pair = row.contrary(hidden), (row.part, other.part)
        if changed == hidden or (changed.salts.request is None) != (changed.request is None):
            continue
        if (changed.salts.response is None) != (changed.response is None):
            continue
        marks = verify(changed).marks
        against = {mark.reason for mark in marks.values() if mark.state is State.FAILED}
        if pair in INCOMPARABLE:
            assert marks[row.question].state in (State.CLAIMED, State.ABSENT), pair
        else:
            assert ELSEWHERE.get(pair, row.reason) in against, pair


FOUND = [pytest.param(each, id=each.name) for each in contradictions(scene())]


@pytest.mark.parametrize("found", FOUND)
def test_parts_that_contradict_each_other_fail(found: Contradiction) -> None:
    """Two roots for one size, a wrong signature beside a quorum, another attachment: failed, for that."""
    mark = verify(found.dossier).marks[found.question]
    assert (mark.state, mark.reason) == (State.FAILED, found.reason)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (put(), State.WITNESSED),
        (put_entry(proof=None, after=None), State.REVOKED),
        (put(entry=None), State.REVOKED),
    ],
)
def test_only_a_proven_position_is_before_a_compromise(change: Change, state: State) -> None:
    """Whoever holds the key can write any position into a file: without its proof it counts for nothing."""
    made = scene()
    key = CompromisedKey(hex0x(made.net.nodes[0].address), made.at + 1, "key_leaked")
    trust = msgspec.structs.replace(made.notary.trust(), compromised=(key,))
    marks = verify(change(made.whole), trust).marks
    assert marks[Question.RAN].state is state


def asked(answer: int | HallmarkError, dossier: Dossier | None = None) -> Mark:
    """The mark `proved` when the chain that was asked gives confirmations, or raises."""

    def check(record: AnchorRecord) -> int:
        if isinstance(answer, HallmarkError):
            raise answer
        return answer

    return verify(dossier or scene().whole, check=check).marks[Question.PROVED]


def test_a_chain_that_says_otherwise_than_the_anchor_makes_proved_fail() -> None:
    """The chain was read and holds another root, or nothing: contrary, not absent."""
    for reason in ("anchor_root_differs", "anchor_missing"):
        mark = asked(VerificationFailed(reason, "The chain holds another root for size 7."))
        assert (mark.state, mark.reason) == (State.FAILED, "anchor_contradicted")
        assert "says otherwise than the anchor" in mark.shows
        assert mark.detail["hint"] == f"{reason}: The chain holds another root for size 7."
        without = put(entry=None)(scene().whole)
        assert asked(VerificationFailed(reason, "x"), without).reason == "anchor_contradicted"


def test_a_chain_that_did_not_say_contradicts_nothing_and_is_no_pass() -> None:
    """Not reached, or not deep enough yet: witnessed as without a chain, never anchored, and it says so."""
    mark = asked(Unavailable("anchor_not_deep_enough", "The anchor has 1 of 2 confirmations."))
    assert mark.state is State.WITNESSED
    assert mark.detail["anchor"].endswith("did not say (anchor_not_deep_enough)")


def test_an_anchor_covers_what_its_path_leads_from() -> None:
    """On the chain and with its path: anchored. Of another size and without a path: not shown to cover."""
    whole = scene().whole
    assert asked(2).state is State.ANCHORED
    assert whole.anchor is not None
    apart = msgspec.structs.replace(whole.anchor, size=whole.anchor.size + 1, path=())
    mark = asked(2, put(anchor=apart)(whole))
    assert mark.state is State.WITNESSED
    assert "that it covers this receipt is not shown" in mark.detail["anchor"]
    mark = asked(2, put(entry=None)(whole))
    assert mark.state is State.ABSENT


def test_contrary_parts_are_found_whatever_else_is_left_out() -> None:
    """Leaving the log's parts out does not hide that a copy of the request is another one."""
    bare = put(entry=None, registration=None, version=None, evidence=None, ticket=None)(scene().whole)
    marks = verify(put(request=RequestCopy("/x", "{}"))(bare)).marks
    assert marks[Question.RAN].reason == "request_mismatch"
