"""A scene: which marks stand in which state, and what else a page should be made to show. Deterministic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from hallmark.core.documents import ClearingPolicy
from hallmark.core.evidence import Assurance
from hallmark.core.hashing import sha256
from hallmark.core.marks import Finding, Mark, Question, State, derive_marks
from hallmark.core.policy import waive
from hallmark.core.receipt import Mode
from hallmark.core.shown import ShownMark, shown
from hallmark.services.review.views import Person
from hallmark.verification import wording

NOW: Final = 1_763_656_212_000
ANSWERED: Final = NOW - 220_000
CLAIMED: Final = {"ran": "claimed", "model": "claimed", "route": "claimed"}
POLICY: Final = ClearingPolicy("witnessed", 3, ())
NODE: Final = bytes.fromhex("5b2c1e" + "00" * 15 + "9f04")
REVIEWER: Final = "0x" + "5e" * 20
# When a mark reached a state, in ms after the answer's last byte.
REACHED: Final[Mapping[State, int]] = {
    State.CLAIMED: 0,
    State.CHECKED: 4,
    State.WITNESSED: 18,
    State.ANCHORED: 2_140,
    State.STALE: 180_000,
    State.DISPUTED: 61_000,
    State.REVOKED: 92_000,
    State.FAILED: 35,
}
SAYS: Final[Mapping[State, str]] = {
    State.CLAIMED: "the node",
    State.CHECKED: "this verifier",
    State.WITNESSED: "3 of 4 full nodes",
    State.ANCHORED: "3 of 4 full nodes",
    State.STALE: "this verifier",
    State.DISPUTED: "full node c.hallmark.test",
    State.REVOKED: "the authority",
    State.FAILED: "2 of 4 full nodes",
}
REASONS: Final[Mapping[Question, str]] = {
    Question.RAN: "measurement_revoked",
    Question.MODEL: "label_moved",
    Question.ROUTE: "not_a_candidate",
    Question.INPUTS: "input_unattested",
    Question.PAID: "payment_unproven",
    Question.PROVED: "log_inconsistent",
    Question.REVIEWED: "judged_unfit",
}
# What every enumerated member of a view may hold; a poisoned text would make it another thing altogether.
ENUMERATED: Final = frozenset(
    ("question", "state", "assurance", "required", "judgement", "outcome", "path", "enforcement", "evidence")
)

T = TypeVar("T")


class Scene(msgspec.Struct, frozen=True):
    """What a page should be made to show.

    `marks` maps questions to states, what is not named is absent. `assurance` is that of `ran`; `asserted_by`
    a provider that merely asserts the model; `memory` adds an old memory row that nobody validated again.
    `state` is the item's. `poison` is added to every text that is not one of a fixed set. `items` is the
    queue's length, `person` who is signed in.
    """

    marks: Mapping[str, str] = msgspec.field(default_factory=lambda: dict(CLAIMED))
    assurance: str = "simulated"
    asserted_by: str = ""
    memory: bool = False
    path: str = "plain"
    state: str = "HOLD"
    klass: str = "payment"
    value: int = 2_500_000
    released_until: int = 0
    sampled: bool = False
    appealed: bool = False
    overdue: bool = False
    index: int = 1_042
    items: int = 6
    person: Person | None = None
    fallback: bool = False
    relabelled: bool = False
    poison: str = ""
    now: int = NOW
    answered: int = ANSWERED

    def poisoned(self, view: T) -> T:
        """The view with `poison` behind every free text."""
        return poisoned(view, self.poison) if self.poison else view


def digest(*parts: str | int) -> str:
    """A 32-byte identifier that follows from its parts, 0x-hex."""
    return "0x" + sha256("/".join(str(part) for part in parts).encode()).hex()


def address(*parts: str | int) -> str:
    """A 20-byte address that follows from its parts, 0x-hex."""
    return digest(*parts)[:42]


def marks_of(scene: Scene) -> tuple[ShownMark, ...]:
    """The seven marks of a scene, in the words that the product itself gives them."""
    waived = tuple(q for q, state in scene.marks.items() if state == State.NOT_REQUIRED)
    findings = [
        _finding(scene, Question(question), State(state))
        for question, state in scene.marks.items()
        if state not in (State.ABSENT, State.NOT_REQUIRED)
    ]
    policy = msgspec.structs.replace(POLICY, not_required=waived)
    marks: Mapping[Question, Mark] = waive(policy, derive_marks(findings))
    return shown(marks)


def _finding(scene: Scene, question: Question, state: State) -> Finding:
    detail = {"what": _what(scene, question, state)}
    if question is Question.RAN:
        detail |= {"assurance": scene.assurance, "mode": "tee"}
    if question is Question.MODEL and scene.asserted_by:
        detail["asserted_by"] = scene.asserted_by
    if question is Question.REVIEWED:
        detail["reviewers"] = REVIEWER
    reason = REASONS[question] if state.is_negative else ""
    evidence = sha256(question.value.encode(), state.value.encode())
    at = scene.answered + REACHED[state]
    return Finding(question, state, SAYS[state], at, evidence, reason, detail)


def _what(scene: Scene, question: Question, state: State) -> str:
    memory = "1 outside inputs, not re-validated: memory from notes, 7776000 s old"
    asserted = (
        f"an upstream provider answered; the model is asserted by {scene.asserted_by} alone"
        if scene.asserted_by
        else "artifact 0x3f9a11...c08e answered, as label tiny-chat version 3"
    )
    return {
        Question.RAN: wording.ran(
            NODE,
            Mode.TEE,
            image="enclave-1.4",
            assurance=Assurance(scene.assurance if scene.assurance in tuple(Assurance) else "none"),
            upstream=bool(scene.asserted_by),
        ),
        Question.MODEL: asserted,
        Question.ROUTE: f"{scene.path} path; the prompt was seen in clear by gateway 0x91aa02...11fe, node "
        "0x5b2c1e...9f04; 3 candidates were offered; no other node was tried",
        Question.INPUTS: memory if scene.memory else "no outside input is named",
        Question.PAID: "a payment of 1200 atomic units is named and was not compared",
        Question.PROVED: "every log entry below 1088, of which this receipt is number 1042"
        if state.is_negative
        else wording.clean(1042, 1088, Mode.TEE, quorum=state in (State.WITNESSED, State.ANCHORED)),
        Question.REVIEWED: f"1 reviewer judged the answer {'unfit' if state.is_negative else 'fit'} "
        "(complete), having seen the marks as they stood then",
    }[question]


def poisoned(view: T, poison: str) -> T:
    """`view` with `poison` behind every text in it, at any depth, fixed sets of words apart."""
    return _poisoned(view, poison, "")  # type: ignore[no-any-return]  # the same type comes back


def _poisoned(value: Any, poison: str, name: str) -> Any:
    if isinstance(value, msgspec.Struct):
        changed = {
            field: _poisoned(getattr(value, field), poison, field) for field in value.__struct_fields__
        }
        return msgspec.structs.replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(_poisoned(part, poison, name) for part in value)
    if isinstance(value, dict):
        return {key: _poisoned(part, poison, name) for key, part in value.items()}
    if isinstance(value, str) and name not in ENUMERATED:
        return value + poison
    return value
