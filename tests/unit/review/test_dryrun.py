"""Trying a policy on past items."""

from __future__ import annotations

import msgspec

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.marks import Finding, Mark, Question, State, derive_marks
from hallmark.review import events as ev
from hallmark.review.dryrun import EXAMPLES, PastItem, dry_run, with_candidate
from hallmark.review.gate import judge
from hallmark.review.items import Item, ItemState, apply, born
from hallmark.testing.dossiers import NEEDED, clearing_policy

ANN, BEN, NODE = (f"0x{c * 40}" for c in "ab1")
WITNESSED = clearing_policy("witnessed", State.WITNESSED, "hardware")
CHECKED = msgspec.structs.replace(clearing_policy("witnessed", State.CHECKED, "hardware"), version=2)
STRICT = msgspec.structs.replace(
    WITNESSED,
    version=2,
    requires=(*WITNESSED.requires, Requirement("reviewed", "witnessed", count=1)),
    not_required=("inputs", "paid"),
)


def marks(state: State, *reviewers: str) -> dict[Question, Mark]:
    """Marks in one state, reviewed by some."""
    found = [Finding(q, state, "quorum", 5, b"", detail={"assurance": "hardware"}) for q in NEEDED]
    if reviewers:
        detail = {"reviewers": " ".join(reviewers)}
        found.append(Finding(Question.REVIEWED, State.WITNESSED, "people", 6, b"", detail=detail))
    return derive_marks(found)


def past(number: int, state: State, *reviewers: str) -> PastItem:
    """An item of the past as the desk has it, decided under the policy in force."""
    item = born(ev.Born(1, f"0x{number:064x}", requester=BEN, node=NODE))
    item = judge(item, [WITNESSED], marks(state, *reviewers), 10).after
    return PastItem(item, marks(state, *reviewers), 10)


def items() -> list[PastItem]:
    """Twenty witnessed, five of them reviewed; ten only checked."""
    return [
        *(past(n, State.WITNESSED) for n in range(15)),
        *(past(n, State.WITNESSED, ANN) for n in range(15, 20)),
        *(past(n, State.CHECKED) for n in range(20, 30)),
    ]


def test_a_stricter_candidate_would_have_held() -> None:
    """What was clear and would be held is counted, by reason, with examples."""
    found = dry_run(items(), STRICT, [WITNESSED])
    assert (found.judged, found.covered, found.held, found.cleared) == (30, 30, 25, 5)
    assert (found.newly_held, found.newly_cleared) == (15, 0)
    assert found.reasons == (("reviewed:state_too_low", 15),)
    assert found.held_examples == tuple(f"0x{n:064x}" for n in range(EXAMPLES))
    assert found.sentence == "witnessed would have held 15, released 0; it applies to 30 of 30 past items"
    assert found.digest == "0x" + STRICT.digest().hex()


def test_a_looser_candidate_would_have_released() -> None:
    """What was held and would be clear is counted too."""
    found = dry_run(items(), CHECKED, [WITNESSED])
    assert (found.newly_held, found.newly_cleared) == (0, 10)
    assert found.cleared_examples[0] == f"0x{20:064x}"
    assert "would have held 0, released 10" in found.sentence


def test_a_candidate_that_warns_is_tried_as_if_enforced() -> None:
    """To know what it would do is why it is tried; its digest is that of the file."""
    warns = msgspec.structs.replace(STRICT, enforcement="warn")
    found = dry_run(items(), warns, [WITNESSED])
    assert (found.newly_held, found.digest) == (15, "0x" + warns.digest().hex())


def test_a_candidate_for_other_items_changes_nothing() -> None:
    """A policy of a class that no item has covers none of them."""
    other = msgspec.structs.replace(STRICT, name="payment", classes=("payment",))
    found = dry_run(items(), other, [WITNESSED])
    assert (found.covered, found.newly_held, found.newly_cleared, found.judged) == (0, 0, 0, 30)


def changed(one: PastItem, *events: ev.Event, **changes: object) -> PastItem:
    """A past item to which more happened."""
    item: Item = one.item
    for event in events:
        item = apply(item, event)
    return PastItem(msgspec.structs.replace(item, **changes), one.marks, one.at)


def test_what_people_decided_is_not_judged_again() -> None:
    """Rejected items are left out, FINAL ones are judged as if held, open appeals still hold."""
    rejected = changed(past(1, State.CHECKED), ev.Rejected(11, ANN, "unfit"))
    final = changed(past(2, State.WITNESSED), state=ItemState.FINAL)
    appealed = changed(past(3, State.WITNESSED), ev.Appealed(11, NODE, "why"))
    released = changed(past(4, State.CHECKED), ev.Released(5, ANN, "Ann", "emergency", "text", 9))
    found = dry_run([rejected, final, appealed, released], STRICT, [WITNESSED])
    assert (found.judged, found.newly_held, found.held_examples) == (3, 1, (f"0x{2:064x}",))


def test_the_candidate_takes_the_place_of_its_name() -> None:
    """One policy of a name is in force at a time."""
    other: ClearingPolicy = msgspec.structs.replace(WITNESSED, name="other")
    assert with_candidate([WITNESSED, other], STRICT) == (other, STRICT)
    assert with_candidate([], STRICT) == (STRICT,)
