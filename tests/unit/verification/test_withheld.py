"""Left out is not contrary: every part of a saved receipt, there, left out, and contrary."""

from __future__ import annotations

import functools

import msgspec
import pytest

from hallmark.core.marks import Question, State
from hallmark.testing.dossiers import proof_verifier
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.withheld import Row, Withheld, put
from hallmark.verification.dossier import Documents, Dossier, LoggedPart, RequestCopy
from hallmark.verification.offline import Verified, verify_dossier


@functools.cache
def scene() -> Withheld:
    """The answers that the rows are about."""
    return Withheld(LittleNetwork())


def verify(dossier: Dossier) -> Verified:
    """Verify under the scene's trust file, after a way through the file's bytes."""
    trust = scene().trust(scene().notary.trust())
    return verify_dossier(
        Dossier.parse(dossier.encode()), trust, scene().net.now,
        verify_evidence=verify_stub_evidence, verify_proof=proof_verifier(trust),
    )  # fmt: skip


def cases() -> list[tuple[Row, Dossier]]:
    """Every row with the whole file that it changes."""
    made = scene()
    return [
        *((row, made.whole) for row in made.rows()),
        *((row, made.provided) for row in made.provider_rows()),
    ]


CASES = [pytest.param(row, whole, id=f"{row.part} {row.question.value}") for row, whole in cases()]


@pytest.mark.parametrize("whole", ["whole", "provided"])
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


def test_contrary_parts_are_found_whatever_else_is_left_out() -> None:
    """Leaving the log's parts out does not hide that a copy of the request is another one."""
    bare = put(entry=None, registration=None, version=None, evidence=None, ticket=None)(scene().whole)
    marks = verify(put(request=RequestCopy("/x", "{}"))(bare)).marks
    assert marks[Question.RAN].reason == "request_mismatch"
