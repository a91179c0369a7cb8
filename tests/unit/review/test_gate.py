"""The gate: which policies apply, whose reviews count, what holds, and what is written down of it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import msgspec
import pytest

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.marks import NEGATIVE, Finding, Mark, Question, State, derive_marks
from hallmark.core.policy import Outcome
from hallmark.review import events as ev
from hallmark.review import wording
from hallmark.review.decisions import LackRow
from hallmark.review.gate import Judged, judge
from hallmark.review.items import Item, ItemState, apply, born
from hallmark.review.policies import applicable, loosened, uncovered, unsound
from hallmark.review.sampling import drawn
from hallmark.testing.dossiers import NEEDED, clearing_policy

ID = "0x" + "7c" * 32
NODE, OWNER, GATEWAY, ASKER, ANN, BEN = (f"0x{c * 40}" for c in "1234ab")
WITNESSED = clearing_policy("witnessed", State.WITNESSED, "hardware")
REVIEWED = Requirement("reviewed", "witnessed", count=2)
Marks = dict[Question, Mark]


def eyes(need: Requirement = REVIEWED, **changes: object) -> ClearingPolicy:
    """A policy that asks for people."""
    made = msgspec.structs.replace(
        WITNESSED, name="eyes", requires=(*WITNESSED.requires, need), not_required=("inputs", "paid")
    )
    return msgspec.structs.replace(made, **changes)


def item(*events: ev.Event, **changes: object) -> Item:
    """An item of known parties, after some events."""
    found = born(ev.Born(1, ID, 3, "", 10, ASKER, NODE, OWNER, GATEWAY))
    for event in events:
        found = apply(found, event)
    return msgspec.structs.replace(found, **changes)


def marks(*more: Finding) -> Marks:
    """Good marks and more findings."""
    good = [Finding(q, State.WITNESSED, "quorum", 5, b"e", detail={"assurance": "hardware"}) for q in NEEDED]
    return derive_marks([*good, *more])


def fit(*reviewers: str, at: int = 5) -> Finding:
    """What reviewers who called the answer fit make of the mark."""
    detail = {"reviewers": " ".join(reviewers), "what": "they judged it fit"}
    return Finding(Question.REVIEWED, State.WITNESSED, f"{len(reviewers)} reviewers", at, b"r", "", detail)


def codes(judged: Judged) -> list[str]:
    """What holds it."""
    return [lack.code for lack in judged.lacks]


def test_an_item_without_a_policy_is_held() -> None:
    """No policy at all, or none for its class, lets nothing go."""
    assert codes(judge(item(), [], marks(), 10)) == ["item:no_policy"]
    only = msgspec.structs.replace(WITNESSED, classes=("payment",))
    assert codes(judge(item(), [only], marks(), 10)) == ["item:no_policy"]
    declared = item(ev.Declared(2, ANN, "payment"))
    assert judge(declared, [only], marks(), 10).outcome is Outcome.CLEAR
    twice = apply(declared, ev.Declared(3, ANN, "unheard-of"))
    assert codes(judge(twice, [only], marks(), 10)) == ["item:no_policy"]


@pytest.mark.parametrize("question", Question)
@pytest.mark.parametrize("state", NEGATIVE)
def test_a_negative_mark_holds_whatever_the_policy_says(question: Question, state: State) -> None:
    """Required, waived or without any policy: what speaks against the answer holds it."""
    bad = marks(Finding(question, state, "somebody", 6, b"", "why"))
    for policies in ([WITNESSED], [], [msgspec.structs.replace(WITNESSED, not_required=tuple(Question))]):
        judged = judge(item(), policies, bad, 10)
        assert judged.outcome is Outcome.HOLD
        assert judged.lacks[0].code == f"{question.value}:why"
        assert judged.lacks[0].failed
        assert judged.after.state is ItemState.HOLD


def test_a_question_that_nobody_answers_is_absent() -> None:
    """Marks that are not given, or are of another question, count as absent."""
    good = marks()
    assert codes(judge(item(), [WITNESSED], {}, 10)) == [f"{q}:state_too_low" for q in NEEDED]
    wrong = good | {Question.PROVED: good[Question.RAN]}
    assert codes(judge(item(), [WITNESSED], wrong, 10)) == ["proved:state_too_low"]


def test_reviews_of_parties_and_requesters_do_not_count() -> None:
    """Two pairs of eyes are two people who neither made the answer nor asked for it."""
    for left, outcome in (
        ((ANN, BEN), Outcome.CLEAR),
        ((ANN, BEN, ASKER), Outcome.CLEAR),
        ((ANN, ASKER), Outcome.HOLD),
        ((ANN, NODE), Outcome.HOLD),
        ((ANN, ANN), Outcome.HOLD),
        ((ANN, ANN.upper().replace("0X", "0x")), Outcome.HOLD),
        ((GATEWAY, ASKER), Outcome.HOLD),
    ):
        assert judge(item(), [eyes()], marks(fit(*left)), 10).outcome is outcome, left
    asked = item(ev.Declared(2, BEN, requester=ANN.upper().replace("0X", "0x")))
    shouted = fit(BEN, ANN.upper().replace("0X", "0x"))
    assert codes(judge(asked, [eyes()], marks(shouted), 10)) == ["reviewed:too_few_reviewers"]
    alone = judge(item(), [eyes()], marks(fit(ASKER)), 10)
    assert codes(alone) == ["reviewed:state_too_low"]
    mark = alone.marks[Question.REVIEWED]
    assert mark.state is State.ABSENT
    assert "does not count" in mark.shows
    partly = judge(item(), [eyes()], marks(fit(ANN, BEN, ASKER)), 10).marks[Question.REVIEWED]
    assert (partly.by, partly.detail["reviewers"], partly.detail["not_counted"]) == (
        "2 reviewers",
        f"{ANN} {BEN}",
        ASKER,
    )


def test_a_word_against_an_answer_counts_whoever_says_it() -> None:
    """Taking out a party's review never takes away what speaks against the answer."""
    against = Finding(
        Question.REVIEWED, State.FAILED, "reviewer", 6, b"", "judged_unfit", {"reviewers": ASKER}
    )
    assert codes(judge(item(), [WITNESSED], marks(against), 10)) == ["reviewed:judged_unfit"]


def test_eyes_are_counted_only_where_it_is_known_whose_do_not_count() -> None:
    """Without a requester nobody can tell that the reviewers are others; that check is not skipped."""
    unknown = item(requester="", requesters=())
    assert codes(judge(unknown, [eyes()], marks(fit(ANN, BEN)), 10)) == ["reviewed:requester_unknown"]
    uncounted = eyes(Requirement("reviewed", "witnessed"))
    assert judge(unknown, [uncounted], marks(fit(ANN)), 10).outcome is Outcome.CLEAR
    assert codes(judge(unknown, [uncounted], marks(fit()), 10)) == ["reviewed:too_few_reviewers"]


def test_the_age_of_reviews_is_not_taken_from_one_that_does_not_count() -> None:
    """The mark's time is that of the newest review, which a requester could have made."""
    young = eyes(Requirement("reviewed", "witnessed", count=2, max_age=100))
    assert judge(item(), [young], marks(fit(ANN, BEN)), 10).outcome is Outcome.CLEAR
    assert codes(judge(item(), [young], marks(fit(ANN, BEN, ASKER)), 10)) == ["reviewed:review_age_unknown"]
    assert codes(judge(item(), [young], marks(fit(ANN, BEN)), 106)) == ["reviewed:mark_too_old"]


def test_a_policy_in_warn_mode_gates_nothing_and_displaces_nothing() -> None:
    """It is evaluated and told; what is enforced keeps gating, also for its own class."""
    warns = eyes(classes=("lab",), enforcement="warn")
    lab = item(ev.Declared(2, ANN, "lab"))
    judged = judge(lab, [WITNESSED, warns], marks(), 10)
    assert (judged.outcome, [p.name for p in judged.policies]) == (Outcome.CLEAR, ["witnessed"])
    assert [decision.outcome for decision in judged.warnings] == [Outcome.HOLD]
    assert judged.screen.warnings == (f"does not meet eyes ({EYES_LACK})",)
    assert codes(judge(lab, [WITNESSED, warns], {}, 10)) == [f"{q}:state_too_low" for q in NEEDED]
    assert codes(judge(lab, [warns], marks(), 10)) == ["item:no_policy"]


def test_an_unsound_policy_holds_what_it_covers() -> None:
    """Nothing is guessed about a policy that asks for what there is not."""
    for broken in (
        eyes(requires=(*WITNESSED.requires, WITNESSED.requires[0])),
        eyes(requires=(*WITNESSED.requires, Requirement("taste", "witnessed"))),
        eyes(Requirement("reviewed", "absent")),
        eyes(Requirement("reviewed", "not_required")),
        eyes(Requirement("reviewed", "excellent")),
        eyes(Requirement("reviewed", "witnessed", count=-1)),
        eyes(Requirement("paid", "witnessed", count=1), not_required=("inputs", "reviewed")),
        eyes(not_required=("inputs", "paid", "reviewed")),
        eyes(not_required=("inputs", "paid", "taste")),
        eyes(enforcement="perhaps"),
        eyes(sla=-1),
        eyes(resample=1_000_001),
        eyes(requires=(msgspec.structs.replace(WITNESSED.requires[0], assurance=("magic",)),)),
    ):
        assert unsound(broken)
        judged = judge(item(), [broken], marks(fit(ANN, BEN)), 10)
        assert "item:policy_unsound" in codes(judged)
        assert judged.after.state is ItemState.HOLD
        assert judge(item(), [broken, WITNESSED], marks(), 10).outcome is Outcome.HOLD
    assert unsound(eyes()) == ()


def names(classes: tuple[str, ...], value: int, policies: list[ClearingPolicy]) -> list[str]:
    """The policies that apply, by name."""
    return [policy.name for policy in applicable(classes, value, policies)]


def test_the_most_specific_policies_apply() -> None:
    """A class's own policy displaces a general one, a higher value a lower one, and neither the other."""

    def made(name: str, value: int = 0, *classes: str) -> ClearingPolicy:
        return msgspec.structs.replace(WITNESSED, name=name, min_value=value, classes=classes)

    general, large, pay, big_pay = (
        made("general"),
        made("large", 100),
        made("pay", 0, "pay"),
        made("big", 50, "pay"),
    )
    every = [general, large, pay, big_pay, made("lab", 0, "lab")]
    for classes, value, expected in (
        (("",), 0, ["general"]),
        (("",), 100, ["large"]),
        (("pay",), 0, ["pay"]),
        (("pay",), 49, ["pay"]),
        (("pay",), 50, ["big"]),
        (("pay",), 100, ["large", "big"]),
        (("other",), 0, ["general"]),
        (("", "pay"), 0, ["general", "pay"]),
        (("pay", "lab"), 100, ["large", "big", "lab"]),
        (("",), -1, []),
    ):
        assert names(classes, value, every) == expected
        assert names(classes, value, every[::-1]) == expected[::-1]
    assert names(("pay",), 0, [pay, msgspec.structs.replace(pay, name="also")]) == ["pay", "also"]
    assert names(("",), 0, [pay]) == []
    assert uncovered(("",), 0, [pay]) == ("",)
    assert uncovered(("", "pay"), 0, [pay]) == ()
    assert uncovered(("", "pay", "lab"), 0, [pay]) == ("lab",)


def test_declaring_never_lets_an_item_go() -> None:
    """For every pair of policies and every declaration: what was held stays held, short of `no_policy`."""
    lax = ClearingPolicy("lax", 1, (WITNESSED.requires[0],), tuple(q for q in Question if q != "ran"))
    pool = [
        msgspec.structs.replace(p, name=f"{p.name}{n}", classes=c, min_value=v)
        for n, (p, c, v) in enumerate(
            itertools.product((eyes(), lax, WITNESSED), ((), ("pay",), ("lab",)), (0,))
        )
    ]
    seen = 0
    for policies in itertools.combinations(pool, 2):
        before = judge(item(), policies, marks(), 10)
        for klass in ("pay", "lab", "other"):
            after = judge(item(ev.Declared(2, ANN, klass)), policies, marks(), 10)
            if after.outcome is Outcome.CLEAR and "item:no_policy" not in codes(before):
                seen += 1
                assert before.outcome is Outcome.CLEAR
    assert seen > 10


def test_a_policy_for_more_that_asks_for_less_is_told() -> None:
    """Raising a value may only tighten; where a set of policies says otherwise, somebody should know."""
    large = msgspec.structs.replace(eyes(), min_value=100)
    assert loosened([WITNESSED, large]) == ()
    assert len(loosened([eyes(), msgspec.structs.replace(WITNESSED, min_value=100)])) == 1
    for weaker in (
        Requirement("ran", "checked"),
        Requirement("ran", "witnessed", assurance=("hardware", "simulated")),
    ):
        less = msgspec.structs.replace(
            WITNESSED, name="less", min_value=5, requires=(weaker, *WITNESSED.requires[1:])
        )
        assert len(loosened([WITNESSED, less])) == 1


def test_the_events_say_what_changed_and_nothing_twice() -> None:
    """One evaluation for a change of what holds, of the policies, or of the outcome; none otherwise."""
    first = judge(item(), [WITNESSED], {}, 10)
    assert [event.kind for event in first.events] == ["evaluated"]
    assert judge(first.after, [WITNESSED], {}, 11).events == ()
    fewer = judge(
        first.after, [WITNESSED], marks(Finding(Question.RAN, State.FAILED, "x", 1, b"", "why")), 11
    )
    assert fewer.after.lacks == ("ran:why",)
    clear = judge(fewer.after, [msgspec.structs.replace(WITNESSED, resample=0)], marks(), 12)
    assert [event.kind for event in clear.events] == ["evaluated"]
    assert (clear.after.cleared_at, clear.after.decided) == (12, 12)
    again = judge(clear.after, [msgspec.structs.replace(WITNESSED, version=2, resample=0)], marks(), 13)
    assert [event.kind for event in again.events] == ["evaluated"]
    assert (again.after.cleared_at, again.after.decided) == (12, 13)
    assert (
        judge(again.after, [msgspec.structs.replace(WITNESSED, version=2, resample=0)], marks(), 14).events
        == ()
    )


def test_a_release_ends_at_its_time_and_windows_close() -> None:
    """What time alone does: a release runs out, a dispute window closes, an age is passed."""
    released = item(ev.Released(5, ANN, "Ann", "emergency", "text", 50))
    assert judge(released, [], marks(), 49).again == 50
    ended = judge(released, [WITNESSED], {}, 50)
    assert [event.kind for event in ended.events] == ["release_ended", "evaluated"]
    windowed = msgspec.structs.replace(WITNESSED, dispute_window=40, sla=7, resample=0)
    clear = judge(item(), [windowed], marks(), 10)
    assert (clear.again, clear.due) == (50, 8)
    assert judge(clear.after, [windowed], marks(), 49).events == ()
    final = judge(clear.after, [windowed], marks(), 50)
    assert ([event.kind for event in final.events], final.screen.state) == (["finalised"], "FINAL")
    endless = judge(item(), [windowed, msgspec.structs.replace(WITNESSED, name="w", resample=0)], marks(), 10)
    assert (endless.after.state, endless.after.final_at, endless.again) == (ItemState.CLEAR, 0, 0)
    aged = msgspec.structs.replace(
        WITNESSED,
        requires=(msgspec.structs.replace(WITNESSED.requires[0], max_age=20), *WITNESSED.requires[1:]),
    )
    assert judge(item(), [aged], marks(), 25).outcome is Outcome.CLEAR
    assert judge(item(), [aged], marks(), 25).again == 26
    assert codes(judge(item(), [aged], marks(), 26)) == ["ran:mark_too_old"]


@pytest.mark.parametrize("state", NEGATIVE)
def test_final_falls_by_a_fault_and_not_by_age(state: State) -> None:
    """After the dispute window a fault returns an item to HOLD; that evidence grew old does not."""
    final = item(state=ItemState.FINAL, finalised_at=9, cleared_at=5, decided=9)
    judged = judge(final, [WITNESSED], marks(Finding(Question.RAN, state, "x", 6, b"", "why")), 10)
    falls = state is not State.STALE
    assert judged.after.state is (ItemState.HOLD if falls else ItemState.FINAL)
    assert codes(judged) == (["ran:why"] if falls else [])
    assert judge(final, [], {}, 10).after.state is ItemState.FINAL


def test_a_rejected_item_is_left_alone() -> None:
    """Whatever the marks, the evaluator says nothing about what a person ended."""
    rejected = item(ev.Rejected(5, ANN, "unfit"))
    judged = judge(rejected, [WITNESSED], marks(), 10)
    assert (judged.events, judged.outcome, codes(judged)) == ((), Outcome.HOLD, ["item:rejected"])
    assert judged.screen.state == "REJECTED"


def test_waived_marks_say_who_waives_them() -> None:
    """An absent mark reads `not_required` only when every policy that the item is under waives it."""
    one = judge(item(), [WITNESSED], marks(), 10).marks
    assert (one[Question.PAID].state, one[Question.PAID].by) == (State.NOT_REQUIRED, "policy witnessed")
    both = judge(item(), [WITNESSED, eyes()], marks(), 10).marks
    assert both[Question.REVIEWED].state is State.ABSENT
    assert both[Question.PAID].by == "policy witnessed and eyes"
    assert judge(item(), [], marks(), 10).marks[Question.PAID].state is State.ABSENT


EYES_LACK = "asks for ran, model, route, proved, reviewed; still needs reviewed"


def test_the_sentence_names_every_policy_and_what_holds_beside_them() -> None:
    """No sentence about the whole is without its policy, none hides an open appeal, and none says `meets` of
    an item that is held.
    """
    assert (
        judge(item(), [WITNESSED], marks(), 10).sentence
        == "meets witnessed (asks for ran, model, route, proved)"
    )
    both = judge(item(), [WITNESSED, eyes()], marks(), 10)
    assert both.sentence == f"does not meet eyes ({EYES_LACK})"
    assert both.policy is not None
    assert both.policy.name == both.decision.policy == "eyes"
    appealed = item(ev.Appealed(2, NODE, "why"))
    assert judge(appealed, [WITNESSED], marks(), 10).sentence == "held under witnessed by item: appeal open"
    unknown = item(requester="", requesters=())
    told = judge(unknown, [eyes()], marks(fit(ANN, BEN)), 10).sentence
    assert told == "held under eyes by reviewed: requester unknown"
    assert (
        judge(item(), [], marks(), 10).sentence == "no policy in force applies to it; held by item: no policy"
    )


def test_clears_are_drawn_for_another_look_by_their_digests() -> None:
    """About as many as the policy says, the same ones whenever they are drawn again."""
    ids = [f"0x{number:064x}" for number in range(4000)]
    for rate in (0, 50_000, 500_000, 1_000_000):
        found = sum(drawn(one, ID, rate) for one in ids)
        assert abs(found - 4000 * rate / 1_000_000) <= 60
        assert found == sum(drawn(one, ID, rate) for one in ids)
    # The first of a million and some whose draw is 0: at a share of nothing not even that one is drawn.
    lowest = f"0x{1_046_587:064x}"
    assert not drawn(lowest, ID, 0)
    assert drawn(lowest, ID, 1)
    every = msgspec.structs.replace(WITNESSED, resample=1_000_000)
    judged = judge(item(), [every], marks(), 10)
    assert [event.kind for event in judged.events] == ["evaluated", "sampled"]
    assert judged.after.state is ItemState.CLEAR
    held = judge(judged.after, [every], {}, 11).after
    assert [event.kind for event in judge(held, [every], marks(), 12).events] == ["evaluated"]


def test_every_lack_has_words() -> None:
    """Whatever the gate says, a person reads what it is, who can mend it and what to do next."""
    reasons = set[str]()
    for policies, found, given in (
        ([], item(), marks()),
        ([WITNESSED], item(), {}),
        ([eyes()], item(requester="", requesters=()), marks(fit(ANN))),
        ([eyes(enforcement="perhaps")], item(ev.Appealed(2, NODE, "why")), marks()),
        ([WITNESSED], item(), marks(Finding(Question.RAN, State.REVOKED, "x", 6, b"", "why"))),
        ([eyes(not_required=())], item(ev.Rejected(2, ANN, "unfit")), marks()),
        ([eyes(not_required=())], item(contested=1), marks(fit(ANN))),
    ):
        for lack in judge(found, policies, given, 10).lacks:
            told = wording.explain(lack)
            assert told != wording.UNKNOWN
            assert all((told.sentence, told.who, told.next, wording.about(lack.code)))
            assert "{" not in told.sentence
            reasons.add(lack.reason)
    assert len(reasons) >= 9


def test_the_next_step_can_be_done() -> None:
    """Nobody is told to wait for what never comes, to declare what takes nothing away, or to bring what
    cannot be brought.
    """

    def step(question: str, reason: str, state: str = "claimed", **known: bool) -> wording.Words:
        return wording.explain(LackRow("p", question, "witnessed", state, reason), **known)

    assert "Wait" in step("model", "state_too_low").next
    assert step("model", "state_too_low", asserted=True).next.startswith("Waiting does not help")
    assert "Wait" in step("ran", "state_too_low").next
    assert step("ran", "state_too_low", enclave=False).next.startswith("Waiting does not help")
    for question in ("inputs", "paid"):
        assert step(question, "state_too_low").next == wording.NO_MORE
    assert "Declare a class" in step("item", "no_policy", "").next
    assert "Declare" not in step("item", "no_policy", "chip").next
    assert "class chip" in step("item", "no_policy", "chip").sentence
    assert step("reviewed", "requester_unknown").who != wording.ASKER


def test_every_code_that_holds_is_documented() -> None:
    """docs/review-gate.md names each reason of the gate and of the evaluator, and no other."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "review-gate.md").read_text()
    rows = {line.split("`")[1] for line in page.splitlines() if re.match(r"\| `[^`]+:[a-z_]+` \|", line)}
    documented = {row.partition(":")[2] for row in rows}
    assert documented == {*wording.ITEM_WORDS, *wording.MISSING_WORDS, "state_too_low"}
    for name, value in vars(ItemState).items():
        if isinstance(value, ItemState):
            assert f"| `{name}` |" in page


def test_of_several_policies_the_strictest_promise_counts() -> None:
    """The longest dispute window, the shortest deadline, the highest share of looks."""
    one = msgspec.structs.replace(WITNESSED, dispute_window=40, sla=9, resample=0)
    other = msgspec.structs.replace(WITNESSED, name="other", dispute_window=60, sla=7, resample=1_000_000)
    for policies in ([one, other], [other, one]):
        judged = judge(item(), policies, marks(), 10)
        assert (judged.after.final_at, judged.due, judged.after.sampled) == (70, 8, True)


def test_who_declares_the_requester_does_not_count_among_the_eyes() -> None:
    """A reviewer who names a stranger as the requester cannot judge the answer in four eyes themselves."""
    unknown = item(requester="", requesters=())
    declared = apply(unknown, ev.Declared(2, ANN, "", -1, ASKER))
    assert "reviewed:requester_unknown" in codes(judge(unknown, [eyes()], marks(fit(ANN, BEN)), 10))
    held = judge(declared, [eyes()], marks(fit(ANN, BEN)), 10)
    assert held.outcome is Outcome.HOLD
    assert codes(held) == ["reviewed:too_few_reviewers"]
    assert held.marks[Question.REVIEWED].detail["not_counted"] == ANN
    later = apply(
        apply(unknown, ev.Declared(2, "token desk", "", -1, ASKER)), ev.Declared(3, ANN, "", -1, NODE)
    )
    assert judge(later, [eyes()], marks(fit(ANN, BEN)), 10).outcome is Outcome.CLEAR
