"""Vectors of the gate: policies and marks in, the decision's exact bytes out.

`make.py` writes them to decisions.json. Every evaluator (Python, TypeScript, Cedar) has to give these bytes.
A mark set stands once under `marks` and is named by the cases; a policy is the exact text of its document.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.marks import Finding, Mark, Question, State, derive_marks
from hallmark.core.policy import evaluate
from hallmark.core.shown import shown
from hallmark.review.decisions import document
from hallmark.review.events import Appealed, Born, Declared, Event
from hallmark.review.files import read_policy
from hallmark.review.gate import judge
from hallmark.review.items import fold
from hallmark.testing.dossiers import clearing_policy

NOW = 1_700_000_000_000
HOUR = 3_600_000
POLICIES = Path(__file__).parents[2] / "policies"
ALICE, BOB, CAROL, NODE = (f"0x{digit * 40}" for digit in "abce")
DESK = "token desk"
Marks = dict[Question, Mark]


def marks(
    *changes: tuple[str, str], since: int = NOW - HOUR, assurance: str = "hardware", **more: str
) -> Marks:
    """Marks with ran, model, route and proved witnessed, changed as (question, state); `more` is detail."""
    states = dict.fromkeys(("ran", "model", "route", "proved"), "witnessed") | dict(changes)
    return derive_marks(
        Finding(
            Question(question),
            State(state),
            "3 of 4 full nodes",
            since,
            bytes([number]) * 32,
            "some_reason" if State(state).is_negative else "",
            {"what": f"fact {number}"} | ({"assurance": assurance} if question == "ran" else {}) | more,
        )
        for number, (question, state) in enumerate(sorted(states.items()))
    )


def mark_sets() -> dict[str, Marks]:
    """Named mark sets."""
    found = {"nothing": derive_marks(()), "witnessed": marks(), "simulated": marks(assurance="simulated")}
    found["no assurance"] = marks(assurance="")
    found["anchored"] = marks(("proved", "anchored"))
    for state in State:
        if state is not State.NOT_REQUIRED:
            found[f"proved {state.value}"] = marks(("proved", state.value))
    for question in Question:
        found[f"{question.value} failed"] = marks((question.value, "failed"))
    found["all revoked"] = marks(*((question.value, "revoked") for question in Question))
    for count in range(4):
        # The same reviewer twice is one reviewer.
        names = " ".join((ALICE, BOB, CAROL)[:count] + (ALICE,) * min(count, 1))
        found[f"{count} reviewers"] = marks(("reviewed", "witnessed"), ("paid", "witnessed"), reviewers=names)
    found["reviewers checked here"] = marks(
        ("reviewed", "checked"), ("paid", "witnessed"), reviewers=f"{ALICE} {BOB}"
    )
    found["odd text"] = marks(
        what='a "quoted" \\ line\n\t\x01\x7f \u00fc \u2028 \U0001f600', z="last", a="first"
    )
    waived = found["witnessed"] | {
        Question.PAID: msgspec.structs.replace(found["nothing"][Question.PAID], state=State.NOT_REQUIRED)
    }
    return found | {"waived already": waived}


def policies() -> dict[str, ClearingPolicy]:
    """Named policies: those that ship, and some at the edge of the rules."""
    found = {
        str(p.relative_to(POLICIES)): read_policy(p.read_text()) for p in sorted(POLICIES.rglob("*.toml"))
    }
    base = clearing_policy("witnessed", State.WITNESSED, "hardware")
    ran, *rest = base.requires

    def with_ran(name: str, *needs: Requirement) -> ClearingPolicy:
        return msgspec.structs.replace(base, name=name, requires=(*needs, *rest))

    twice = msgspec.structs.replace(ran, assurance=("simulated",))
    return found | {
        "an hour": with_ran("an-hour", msgspec.structs.replace(ran, max_age=HOUR)),
        "less than an hour": with_ran("less", msgspec.structs.replace(ran, max_age=HOUR - 1)),
        "a verifier": with_ran("a-verifier", msgspec.structs.replace(ran, verifiers=("3 of 4 full nodes",))),
        "another verifier": with_ran("another", msgspec.structs.replace(ran, verifiers=("x", '"'))),
        "no assurance will do": with_ran("none-will-do", msgspec.structs.replace(ran, assurance=())),
        "asked twice": with_ran("twice", ran, twice),
        "nothing will do": msgspec.structs.replace(
            base, name="absent", requires=(*base.requires, Requirement("paid", "absent")), not_required=()
        ),
        "off the ladder": with_ran("off", msgspec.structs.replace(ran, state="not_required")),
        "paid is not named": msgspec.structs.replace(
            base, name="silent", not_required=("inputs", "reviewed")
        ),
        "asked and waived": msgspec.structs.replace(base, name="both", not_required=tuple(Question)),
        "asks nothing": ClearingPolicy("empty", 1, (), tuple(q.value for q in Question)),
    }


def evaluations() -> Iterator[tuple[str, str]]:
    """Which policy meets which marks: every mark set under one policy, and every policy under a few."""
    for name in mark_sets():
        yield "development/witnessed.toml", name
    for policy in policies():
        if policy != "development/witnessed.toml":
            yield policy, "witnessed"
    for count in range(4):
        yield "payment.toml", f"{count} reviewers"
    yield "payment.toml", "reviewers checked here"
    yield "anchored.toml", "anchored"
    yield "witnessed.toml", "simulated"
    yield "asked twice", "simulated"
    yield "asks nothing", "nothing"
    yield "paid is not named", "waived already"


def histories() -> dict[str, tuple[Event, ...]]:
    """Items whose judgement takes more than one policy and its marks."""
    born = Born(NOW - 2 * HOUR, "0x" + "11" * 32, 7, node=NODE)
    return {
        "plain": (born,),
        "payment": (born, Declared(NOW, DESK, "payment", 1_000_000, CAROL)),
        "payment, declared by a reviewer": (born, Declared(NOW, ALICE, "payment", 1_000_000, CAROL)),
        "payment, below": (born, Declared(NOW, DESK, "payment", 999_999, CAROL)),
        "payment, nobody knows whose": (born, Declared(NOW, DESK, "payment", 1_000_000)),
        "payment, of a reviewer": (born, Declared(NOW, DESK, "payment", 1_000_000, BOB)),
        "research": (born, Declared(NOW, DESK, "research")),
        "unheard of": (born, Declared(NOW, DESK, "unheard-of")),
        "appealed": (born, Appealed(NOW, NODE, "why")),
    }


def decision_vectors() -> dict[str, Any]:
    """Everything that decisions.json holds."""
    sets, named = mark_sets(), policies()
    production = [
        named[f"{name}.toml"] for name in ("witnessed", "anchored", "payment", "memory", "research")
    ]
    cases = []
    for policy, name in evaluations():
        found = document(evaluate(named[policy], sets[name], NOW))
        cases.append(
            {
                "policy": policy,
                "marks": name,
                "outcome": found.outcome,
                "sentence": found.sentence,
                "digest": hex0x(found.digest()),
                "decision": found.encode().decode(),
            }
        )
    judged = []
    for item, history in histories().items():
        for name in ("nothing", "witnessed", "1 reviewers", "2 reviewers", "3 reviewers", "ran failed"):
            verdict = judge(fold(history), production, sets[name], NOW)
            judged.append(
                {
                    "item": item,
                    "marks": name,
                    "outcome": verdict.outcome.value,
                    "policies": [policy.name for policy in verdict.policies],
                    "lacks": [lack.code for lack in verdict.lacks],
                    "sentence": verdict.sentence,
                }
            )
    return {
        "now": NOW,
        "policies": {
            name: {"document": p.encode().decode(), "digest": hex0x(p.digest())} for name, p in named.items()
        },
        "marks": {name: msgspec.to_builtins(shown(each)) for name, each in sets.items()},
        "evaluations": cases,
        "items": {name: [msgspec.to_builtins(event) for event in h] for name, h in histories().items()},
        "in_force": [policy.name for policy in production],
        "judgements": judged,
    }


if __name__ == "__main__":
    path = Path(__file__).with_suffix(".json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(decision_vectors()), indent=1) + b"\n")
