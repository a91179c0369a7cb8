"""Two evaluators, one answer: the vectors, and Cedar beside the product's own."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.marks import LADDER, Mark, Question, State, derive_marks
from hallmark.core.policy import Outcome, evaluate
from hallmark.review.cedar import SCHEMA, entities, evaluate_with_cedar, translate
from hallmark.review.decisions import DecisionDocument, document, marks_from_json
from hallmark.review.files import read_policy
from hallmark.review.gate import judge
from hallmark.review.history import Record, recall
from hallmark.review.policies import unsound
from hallmark.testing.dossiers import clearing_policy

HERE = Path(__file__).resolve().parents[2] / "vectors"
VECTORS = msgspec.json.decode((HERE / "decisions.json").read_bytes())
POLICIES = {
    name: ClearingPolicy.decode(each["document"].encode()) for name, each in VECTORS["policies"].items()
}
MARKS = {name: marks_from_json(each) for name, each in VECTORS["marks"].items()}


def maker() -> ModuleType:
    """The script that makes the vectors."""
    spec = importlib.util.spec_from_file_location("decision_vectors", HERE / "decisions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_vectors_are_what_the_script_makes() -> None:
    """decisions.json follows from decisions.py, and fits where it is kept."""
    made = msgspec.json.format(msgspec.json.encode(maker().decision_vectors()), indent=1) + b"\n"
    assert made == (HERE / "decisions.json").read_bytes()
    assert len(made) < 300_000


def test_every_vector_gives_its_bytes() -> None:
    """From the policy's document and the marks' JSON alone, the decision is the same to the byte."""
    for name, each in VECTORS["policies"].items():
        assert hex0x(digest_of(ClearingPolicy, each["document"].encode())) == each["digest"], name
    outcomes = set()
    for case in VECTORS["evaluations"]:
        found = document(evaluate(POLICIES[case["policy"]], MARKS[case["marks"]], VECTORS["now"]))
        assert found.encode() == case["decision"].encode(), case
        assert hex0x(found.digest()) == case["digest"]
        assert (found.outcome, found.sentence) == (case["outcome"], case["sentence"])
        assert DecisionDocument.decode(case["decision"].encode()) == found
        outcomes.add(found.outcome)
    assert outcomes == {"HOLD", "CLEAR"}


def test_every_judgement_is_as_written() -> None:
    """Which policies an item is under and what holds it, for items of several classes and values."""
    items = {}
    for name, events in VECTORS["items"].items():
        chain: list[Record] = []
        for event in events:
            before = chain[-1].id if chain else "0x" + "00" * 32
            chain.append(Record(events[0]["id"], len(chain) + 1, before, event))
        items[name] = recall(chain, chain[-1].id)
    in_force = [POLICIES[f"{name}.toml"] for name in VECTORS["in_force"]]
    for case in VECTORS["judgements"]:
        found = judge(items[case["item"]], in_force, MARKS[case["marks"]], VECTORS["now"])
        assert [policy.name for policy in found.policies] == case["policies"]
        assert [lack.code for lack in found.lacks] == case["lacks"]
        assert (found.outcome.value, found.sentence) == (case["outcome"], case["sentence"])


def test_cedar_gives_every_vector_too() -> None:
    """Outcome, missing and failed marks, to the byte; what Cedar is not given, the gate does not apply."""
    pytest.importorskip("cedarpy", reason="Cedar is optional and not installed here.")
    compared = 0
    for case in VECTORS["evaluations"]:
        policy = POLICIES[case["policy"]]
        if unsound(policy):
            with pytest.raises(InvalidInput, match="bad_policy"):
                translate(policy)
            continue
        found = evaluate_with_cedar(policy, MARKS[case["marks"]], VECTORS["now"])
        assert document(found).encode() == case["decision"].encode()
        compared += 1
    assert compared > 40


def test_cedar_agrees_on_generated_policies_and_marks() -> None:
    """Six hundred random pairs with every reason among them; Cedar's validator accepts the translations."""
    cedarpy = pytest.importorskip("cedarpy", reason="Cedar is optional and not installed here.")
    rng, reasons, outcomes = random.Random(11), set[str](), set[Outcome]()
    for _ in range(600):
        policy, marks, now = generated(rng)
        expected = evaluate(policy, marks, now)
        found = evaluate_with_cedar(policy, marks, now)
        assert document(found).encode() == document(expected).encode()
        reasons |= {short.reason for short in found.missing}
        outcomes.add(found.outcome)
        result = cedarpy.validate_policies(translate(policy), SCHEMA)
        assert result.validation_passed, [str(error) for error in result.errors]
    assert outcomes == set(Outcome)
    assert reasons == {
        "state_too_low",
        "verifier_not_allowed",
        "too_few_reviewers",
        "assurance_not_allowed",
        "mark_too_old",
        "question_not_in_policy",
    }


def generated(rng: random.Random) -> tuple[ClearingPolicy, dict[Question, Mark], int]:
    """A sound policy of few requirements, and marks that mostly come near to it."""
    asked = rng.sample(list(Question), rng.randrange(1, 4))
    needs = tuple(
        Requirement(
            question.value,
            rng.choice(LADDER[1:]).value,
            rng.choice(((), (), ("quorum",), ('"', "\\ \n \U0001f600", "quorum"))),
            rng.choice((0, 0, 100)),
            rng.choice((("hardware",), ("hardware", "simulated"), ())),
            rng.choice((0, 1, 2)) if question is Question.REVIEWED else 0,
        )
        for question in asked
    )
    rest = [question.value for question in Question if question not in asked]
    waived = tuple(rest if rng.random() < 0.8 else rng.sample(rest, len(rest) - 1))
    marks = {}
    for question, mark in derive_marks(()).items():
        state = rng.choice((State.WITNESSED, State.ANCHORED, State.ANCHORED, *LADDER))
        state = rng.choice(list(State)) if rng.random() < 0.05 else state
        marks[question] = msgspec.structs.replace(
            mark,
            state=state,
            since=rng.choice((0, 900, 950)),
            by=rng.choice(("quorum", "quorum", "x", "\\ \n \U0001f600")),
            reason="why" if state.is_negative else "",
            assurance=rng.choice(("hardware", "hardware", "simulated", "")),
            detail={"reviewers": rng.choice(("", "a", "a a", "a b", "a b c"))},
        )
    return ClearingPolicy("generated", 1, needs, waived), marks, 1000


def test_without_cedar_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is optional; without it the reason says so, and nothing is decided."""
    monkeypatch.setitem(sys.modules, "cedarpy", None)
    with pytest.raises(Unavailable) as refused:
        evaluate_with_cedar(clearing_policy("w", State.WITNESSED), derive_marks(()), 1)
    assert (refused.value.reason, refused.value.hint) == (
        "cedar_not_installed",
        "pip install hallmark[cedar]",
    )


def test_what_cedar_cannot_evaluate_is_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error inside Cedar, or a decision without our reasons, is never taken for CLEAR or HOLD."""
    cedarpy = pytest.importorskip("cedarpy", reason="Cedar is optional and not installed here.")
    policy = read_policy((HERE.parents[1] / "policies" / "payment.toml").read_text())
    endless = MARKS["witnessed"] | {
        Question.RAN: msgspec.structs.replace(MARKS["witnessed"][Question.RAN], since=2**63 - 1)
    }
    with pytest.raises(Unavailable, match="cedar_failed"):
        evaluate_with_cedar(policy, endless, 1)
    real = cedarpy.is_authorized

    def lenient(request: Any, policies: str, *rest: Any) -> Any:
        return real(request, "permit (principal, action, resource);", *rest)

    monkeypatch.setattr(cedarpy, "is_authorized", lenient)
    with pytest.raises(Unavailable, match="cedar_failed"):
        evaluate_with_cedar(policy, MARKS["nothing"], 1)
    monkeypatch.setattr(
        cedarpy, "is_authorized", lambda r, p, *rest: real(r, "forbid (principal, action, resource);", *rest)
    )
    with pytest.raises(Unavailable, match="cedar_failed"):
        evaluate_with_cedar(policy, MARKS["nothing"], 1)


def test_no_word_of_a_mark_becomes_policy_text() -> None:
    """Marks are data: the translation depends on the policy alone, and quotes what it takes from it."""
    nasty = 'x"); permit (principal, action, resource); //'
    base = clearing_policy("w", State.WITNESSED, "hardware")
    ran = msgspec.structs.replace(base.requires[0], verifiers=(nasty,))
    text = translate(msgspec.structs.replace(base, requires=(ran, *base.requires[1:])))
    assert text.count("permit (") == 1
    assert "permit (" not in entities(MARKS["odd text"])
    assert "\\u{22}" in text
