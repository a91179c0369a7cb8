"""Marks follow from findings alone, and only a met policy clears."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.errors import InvalidInput
from hallmark.core.marks import LADDER, NEGATIVE, Finding, Mark, Question, State, derive_marks
from hallmark.core.policy import Outcome, evaluate, waive

WITNESSED = ClearingPolicy(
    name="witnessed",
    version=1,
    requires=tuple(
        Requirement(q, "witnessed", assurance=("hardware",)) for q in ("ran", "model", "route", "proved")
    ),
    not_required=("inputs", "paid", "reviewed"),
)


def finding(question: Question, state: State, *, at: int = 1, by: str = "q", **detail: str) -> Finding:
    """A finding with defaults."""
    reason = "some_reason" if state.is_negative else ""
    return Finding(question, state, by, at, b"e", reason, detail)


def struck(state: State = State.WITNESSED, assurance: str = "hardware") -> dict[Question, Mark]:
    """Marks that meet WITNESSED, or all in another state."""
    needed = (Question.RAN, Question.MODEL, Question.ROUTE, Question.PROVED)
    return derive_marks(finding(q, state, assurance=assurance) for q in needed)


def test_no_findings_give_seven_absent_marks_in_order() -> None:
    """All seven stand, always, in the fixed order, each with its counter-sentence."""
    marks = derive_marks(())
    assert list(marks) == list(Question)
    assert {mark.state for mark in marks.values()} == {State.ABSENT}
    assert all(mark.shows and mark.does_not_show for mark in marks.values())


@pytest.mark.parametrize("negative", NEGATIVE)
@pytest.mark.parametrize("positive", LADDER)
def test_a_negative_finding_outranks_every_positive_one(negative: State, positive: State) -> None:
    """Whatever else is claimed, a negative finding stands."""
    for order in itertools.permutations((finding(Question.RAN, negative), finding(Question.RAN, positive))):
        assert derive_marks(order)[Question.RAN].state is negative


def test_order_of_findings_does_not_matter() -> None:
    """The same findings in any order give the same states."""
    rng = random.Random(7)
    for _ in range(200):
        found = [finding(rng.choice(list(Question)), rng.choice(list(State)[:5])) for _ in range(6)]
        shuffled = rng.sample(found, len(found))
        assert {q: m.state for q, m in derive_marks(found).items()} == {
            q: m.state for q, m in derive_marks(shuffled).items()
        }


def test_one_question_never_strikes_another() -> None:
    """A finding about one question leaves the other six absent."""
    for question, state in itertools.product(Question, LADDER[1:]):
        marks = derive_marks((finding(question, state),))
        assert [q for q, mark in marks.items() if mark.state is not State.ABSENT] == [question]


def test_a_met_policy_clears_and_says_how() -> None:
    """Every requirement met gives CLEAR, and the sentence says what was asked for, not how many."""
    decision = evaluate(WITNESSED, struck(), now=10)
    assert decision.outcome is Outcome.CLEAR
    assert decision.sentence() == "meets witnessed (asks for ran, model, route, proved)"


def test_a_sentence_names_what_is_missing_and_counts_nothing() -> None:
    """A mark that is waived is never counted as met: what was asked for and what lacks is named."""
    lacking = evaluate(WITNESSED, derive_marks(()), now=10)
    assert lacking.sentence() == (
        "does not meet witnessed (asks for ran, model, route, proved; still needs ran, model, route, proved)"
    )
    broken = evaluate(WITNESSED, struck() | derive_marks((finding(Question.PAID, State.FAILED),)), now=10)
    assert "paid speaks against it" in broken.sentence()
    assert not any(letter.isdigit() for letter in lacking.sentence() + broken.sentence())


@pytest.mark.parametrize("state", [State.ABSENT, State.CLAIMED, State.CHECKED, State.NOT_REQUIRED])
def test_too_low_a_state_holds(state: State) -> None:
    """A state below the required one holds; `not_required` never satisfies a requirement."""
    decision = evaluate(WITNESSED, struck(state), now=10)
    assert decision.outcome is Outcome.HOLD
    assert {s.question for s in decision.missing} == {Question(n.question) for n in WITNESSED.requires}


@pytest.mark.parametrize("question", list(Question))
@pytest.mark.parametrize("state", NEGATIVE)
def test_any_negative_mark_holds(question: Question, state: State) -> None:
    """A negative mark holds even where the policy does not require that mark."""
    marks = struck()
    marks[question] = derive_marks((finding(question, state),))[question]
    decision = evaluate(WITNESSED, marks, now=10)
    assert decision.outcome is Outcome.HOLD
    assert question in {s.question for s in decision.failed}


def test_simulated_assurance_must_be_allowed_by_name() -> None:
    """A policy that asks for hardware holds on simulated hardware."""
    decision = evaluate(WITNESSED, struck(assurance="simulated"), now=10)
    assert [s.reason for s in decision.missing] == ["assurance_not_allowed"]
    assert evaluate(WITNESSED, struck(assurance=""), now=10).outcome is Outcome.HOLD


def test_age_verifier_and_unnamed_questions_hold() -> None:
    """Old marks, other verifiers and questions that the policy does not name all hold."""
    need = Requirement("proved", "witnessed", verifiers=("quorum",), max_age=100)
    policy = ClearingPolicy("strict", 1, (need,), ("ran", "model", "route", "inputs", "paid"))
    marks = derive_marks((finding(Question.PROVED, State.WITNESSED, at=1000, by="other"),))
    assert {s.reason for s in evaluate(policy, marks, 1000).missing} == {
        "verifier_not_allowed",
        "question_not_in_policy",
    }
    marks = derive_marks((finding(Question.PROVED, State.WITNESSED, at=1000, by="quorum"),))
    assert "mark_too_old" in {s.reason for s in evaluate(policy, marks, 1101).missing}
    assert "mark_too_old" not in {s.reason for s in evaluate(policy, marks, 1100).missing}


@pytest.mark.parametrize(("question", "state"), [("rain", "claimed"), ("ran", "clamed"), ("", "")])
def test_a_policy_that_nobody_can_meet_is_an_error(question: str, state: str) -> None:
    """A question or a state that there is not is refused, wherever it stands and whatever the marks are."""
    for marks in (struck(), derive_marks(())):
        policy = msgspec.structs.replace(
            WITNESSED, requires=(*WITNESSED.requires, Requirement(question, state))
        )
        with pytest.raises(InvalidInput) as caught:
            evaluate(policy, marks, now=10)
        assert caught.value.reason == "bad_policy"


def test_waiving_shows_the_policy_as_author_and_hides_nothing_negative() -> None:
    """Only absent marks that the policy waives read not_required; a negative one keeps its state."""
    marks = struck()
    marks[Question.PAID] = derive_marks((finding(Question.PAID, State.FAILED),))[Question.PAID]
    shown = waive(WITNESSED, marks)
    assert shown[Question.INPUTS].state is State.NOT_REQUIRED
    assert shown[Question.INPUTS].by == "policy witnessed"
    assert shown[Question.PAID].state is State.FAILED


def test_clear_only_if_every_requirement_holds_over_many_histories() -> None:
    """10,000 generated mark sets: CLEAR exactly when an independent restatement of the rule says so."""
    rng = random.Random(20)
    for _ in range(10_000):
        found = [
            finding(
                q,
                rng.choice(list(State)),
                at=rng.randrange(50),
                assurance=rng.choice(("hardware", "simulated")),
            )
            for q in Question
            if rng.random() < 0.9
        ]
        marks = derive_marks(found)
        strong = {State.WITNESSED, State.ANCHORED}
        expected = (
            all(marks[Question(n.question)].state in strong for n in WITNESSED.requires)
            and marks[Question.RAN].assurance == "hardware"
            and not any(mark.state in NEGATIVE for mark in marks.values())
        )
        assert (evaluate(WITNESSED, marks, 60).outcome is Outcome.CLEAR) == expected


def test_what_waiting_cannot_mend_is_named() -> None:
    """An enclave that is confined less than fully keeps `ran` claimed; the decision names the switches."""
    ran = finding(
        Question.RAN, State.CLAIMED, assurance="simulated", insecure="limits-by-rlimit, no-landlock"
    )
    marks = {**struck(), Question.RAN: derive_marks((ran,))[Question.RAN]}
    assert evaluate(WITNESSED, marks, now=10).out_of_reach == ("limits-by-rlimit", "no-landlock")
    assert evaluate(WITNESSED, marks, now=10).is_final
    early = {**marks, Question.PROVED: derive_marks(())[Question.PROVED]}
    assert not evaluate(WITNESSED, early, now=10).is_final
    plain = {**marks, Question.RAN: derive_marks((finding(Question.RAN, State.CLAIMED),))[Question.RAN]}
    assert evaluate(WITNESSED, plain, now=10).out_of_reach == ()
    lax = msgspec.structs.replace(
        WITNESSED, requires=(Requirement("ran", "claimed", assurance=("simulated",)), *WITNESSED.requires[1:])
    )
    assert evaluate(lax, marks, now=10).out_of_reach == ()
