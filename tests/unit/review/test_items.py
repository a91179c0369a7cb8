"""Items: every event in every state applies or is refused with its reason, and nobody but the gate clears."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

import hallmark
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput
from hallmark.core.marks import Finding, State, derive_marks
from hallmark.core.policy import Outcome
from hallmark.review import events as ev
from hallmark.review.gate import judge
from hallmark.review.items import DAY, REFUSED, Item, ItemState, apply, born, fold
from hallmark.testing.dossiers import NEEDED, clearing_policy
from hallmark.testing.reasons import nodes_of

ID = "0x" + "7c" * 32
NODE, OWNER, GATEWAY, ASKER, ANN, BEN = (f"0x{c * 40}" for c in "1234ab")
HOLD, CLEAR, FINAL, REJECTED = ItemState
POLICY = msgspec.structs.replace(
    clearing_policy("witnessed", State.WITNESSED, "hardware"), dispute_window=50, resample=1_000_000
)
GOOD = derive_marks(
    Finding(q, State.WITNESSED, "quorum", 5, b"e", detail={"assurance": "hardware"}) for q in NEEDED
)
BIRTH = ev.Born(1, ID, 3, "", 10, ASKER, NODE, OWNER, GATEWAY)


def cleared(item: Item, now: int = 10) -> Item:
    """The item after the gate judged it by good marks."""
    return judge(item, [POLICY], GOOD, now).after


def items() -> dict[ItemState, Item]:
    """An item in each state; the CLEAR and FINAL ones are sampled, the REJECTED one has an open appeal."""
    held = born(BIRTH)
    clear = cleared(held)
    rejected = apply(apply(held, ev.Rejected(20, ANN, "unfit")), ev.Appealed(21, NODE, "why"))
    return {HOLD: held, CLEAR: clear, FINAL: cleared(clear, 100), REJECTED: rejected}


def sealed(item: Item, kind: type[ev.Event]) -> ev.Event:
    """A sealed event of the gate that is about this very version of `item`."""
    made = judge(items()[CLEAR] if kind is ev.Finalised else born(BIRTH), [POLICY], GOOD, 500).events
    found = next(event for event in made if isinstance(event, kind))
    return msgspec.structs.replace(found, basis=item.version)


def happening(item: Item, kind: type[ev.Event]) -> ev.Event:
    """A plain event of a kind, as it would be taken in the state that it is meant for."""
    plain: dict[type[ev.Event], ev.Event] = {
        ev.Born: BIRTH,
        ev.Placed: ev.Placed(30, 3),
        ev.Declared: ev.Declared(30, ANN, "payment", 11),
        ev.Reviewed: ev.Reviewed(30, ANN, 1, "fit_for_use", 9),
        ev.Assigned: ev.Assigned(30, ANN, ANN),
        ev.Commented: ev.Commented(30, ANN, "hello"),
        ev.Appealed: ev.Appealed(30, ASKER, "why"),
        ev.AppealAnswered: ev.AppealAnswered(30, ANN, True, "so"),
        ev.Released: ev.Released(30, ANN, "Ann", "emergency", "text", 31),
        ev.ReleaseEnded: ev.ReleaseEnded(30, ANN),
        ev.Sampled: ev.Sampled(30, "0x" + "00" * 32),
        ev.SampleAnswered: ev.SampleAnswered(30, ANN, False),
        ev.Rejected: ev.Rejected(30, ANN, "unfit"),
    }
    return plain[kind] if kind in plain else sealed(item, kind)


# Event to what becomes of an item in HOLD, CLEAR, FINAL, REJECTED: the next state, or the refusal.
TABLE: dict[type[ev.Event], tuple[str, str, str, str]] = {
    ev.Born: ("item_already_born",) * 4,
    ev.Placed: ("HOLD", "CLEAR", "FINAL", "REJECTED"),
    ev.Declared: ("HOLD", "HOLD", "item_is_final", "item_is_rejected"),
    ev.Evaluated: ("CLEAR", "CLEAR", "item_is_final", "item_is_rejected"),
    ev.Finalised: ("item_not_clear", "FINAL", "item_is_final", "item_is_rejected"),
    ev.Reviewed: ("HOLD", "CLEAR", "FINAL", "REJECTED"),
    ev.Assigned: ("HOLD", "CLEAR", "FINAL", "REJECTED"),
    ev.Commented: ("HOLD", "CLEAR", "FINAL", "REJECTED"),
    ev.Appealed: ("HOLD", "HOLD", "item_is_final", "REJECTED"),
    ev.AppealAnswered: ("no_open_appeal", "no_open_appeal", "no_open_appeal", "HOLD"),
    ev.Released: ("HOLD", "item_not_held", "item_not_held", "item_is_rejected"),
    ev.ReleaseEnded: ("not_released",) * 4,
    ev.Sampled: ("item_not_clear", "already_sampled", "item_is_final", "item_is_rejected"),
    ev.SampleAnswered: ("not_sampled", "HOLD", "FINAL", "not_sampled"),
    ev.Rejected: ("REJECTED", "item_not_held", "item_not_held", "item_is_rejected"),
}


def outcome(item: Item, event: ev.Event) -> str:
    """The state after an event, or the reason why it was refused."""
    try:
        return apply(item, event).state.value
    except HallmarkError as refused:
        return refused.reason


def test_the_table_names_every_event_and_every_state() -> None:
    """No pair of event and state is left to chance."""
    assert set(TABLE) == set(ev.EVENTS) == set(REFUSED)
    assert all(len(row) == len(ItemState) for row in TABLE.values())
    assert {state: item.state for state, item in items().items()} == {state: state for state in ItemState}


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_every_event_in_every_state(kind: type[ev.Event]) -> None:
    """Each (state, event) gives the state, or the refusal, of the table."""
    found = tuple(outcome(item, happening(item, kind)) for item in items().values())
    assert found == TABLE[kind]


def test_an_event_counts_one_version_and_a_refused_one_none() -> None:
    """The version counts what happened, so that a judgement can name what it judged."""
    item = items()[HOLD]
    assert apply(item, ev.Commented(5, ANN, "x")).version == item.version + 1
    with pytest.raises(Conflict):
        apply(item, ev.ReleaseEnded(5, ANN))


def test_nobody_but_the_gate_makes_what_lets_an_item_out() -> None:
    """An evaluation with outcome CLEAR, or a Finalised, cannot be constructed, converted or decoded."""
    with pytest.raises(TypeError):
        ev.Evaluated(1, Outcome.CLEAR, 1, (), (), (), "", "")
    with pytest.raises(TypeError):
        ev.Finalised(1, 1, "", "")
    with pytest.raises(TypeError):
        ev.Finalised(1, 1, "", "", object())
    written = msgspec.json.encode(ev.Evaluation(1, Outcome.CLEAR, 1, (), (), (), "", ""))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(written, type=ev.Evaluated)
    with pytest.raises(KeyError):
        apply(items()[HOLD], msgspec.json.decode(written, type=ev.Evaluation))
    assert ev.Evaluated(1, Outcome.HOLD, 1, (), (), (), "", "").outcome is Outcome.HOLD


def test_the_seal_is_used_in_two_places() -> None:
    """Only the gate seals, and only a recalled history is sealed again."""
    source = Path(hallmark.__file__).parent
    users = set()
    for path in source.rglob("*.py"):
        if "_SEAL" not in path.read_text():
            continue
        names = (
            n.name
            for node in nodes_of(path)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hallmark.review")
            for n in node.names
        )
        if "_SEAL" in names:
            users.add(path.relative_to(source).as_posix())
        if path.parent.name != "review" or path.parent.parent != source:
            assert "events._SEAL" not in path.read_text()
            assert "ev._SEAL" not in path.read_text()
    assert users == {"review/gate.py", "review/history.py"}


def test_a_decision_about_another_version_is_refused() -> None:
    """What happened between judging and clearing makes the judgement stale."""
    item = items()[HOLD]
    evaluated = judge(item, [POLICY], GOOD, 10).events[0]
    with pytest.raises(Conflict, match="stale_decision"):
        apply(apply(item, ev.Commented(9, ANN, "wait")), evaluated)


def test_an_item_is_not_cleared_over_an_open_appeal() -> None:
    """Even a sealed evaluation cannot clear while a matter stands."""
    held = apply(items()[HOLD], ev.Appealed(9, NODE, "why"))
    with pytest.raises(Conflict, match="matter_stands"):
        apply(held, sealed(held, ev.Evaluated))


def test_value_class_and_requester_only_tighten() -> None:
    """A value never falls; classes and requesters add up; a raise takes a CLEAR and a release back."""
    item = items()[CLEAR]
    with pytest.raises(Conflict, match="value_lowered"):
        apply(item, ev.Declared(20, ANN, value=9))
    assert apply(item, ev.Declared(20, ANN, value=10)).state is CLEAR
    assert apply(item, ev.Declared(20, ANN, requester=ASKER.upper().replace("0X", "0x"))).state is CLEAR
    for raised in (
        ev.Declared(20, ANN, "payment"),
        ev.Declared(20, ANN, value=11),
        ev.Declared(20, ANN, requester=BEN),
    ):
        after = apply(item, raised)
        assert (after.state, after.lacks) == (HOLD, ("item:not_judged_yet",))
    after = apply(apply(item, ev.Declared(20, ANN, "payment")), ev.Declared(21, ANN, "research", 12, BEN))
    assert (after.klass, after.classes) == ("research", ("", "payment", "research"))
    assert (after.requester, after.requesters, after.value) == (ASKER, (ASKER, BEN), 12)
    released = apply(items()[HOLD], ev.Released(30, ANN, "Ann", "emergency", "text", 31))
    assert apply(released, ev.Declared(30, ANN, value=11)).release is None


def test_break_glass_is_bounded_named_and_never_clears() -> None:
    """At most 24 hours, with a name, a reason and a text, not by who made the answer, one at a time."""
    item = items()[HOLD]
    fine = ev.Released(30, ANN, "Ann", "emergency", "text", 30 + DAY)
    after = apply(item, fine)
    assert (after.state, after.released_until, after.releases) == (HOLD, 30 + DAY, 1)
    for until in (30, 29, 31 + DAY):
        with pytest.raises(InvalidInput, match="release_too_long"):
            apply(item, msgspec.structs.replace(fine, until=until))
    for name in ("by", "name", "reason", "text"):
        with pytest.raises(InvalidInput, match="bad_event"):
            apply(item, msgspec.structs.replace(fine, **{name: ""}))
    for party in (NODE, OWNER, GATEWAY):
        with pytest.raises(Conflict, match="releaser_is_party"):
            apply(item, msgspec.structs.replace(fine, by=party))
    with pytest.raises(Conflict, match="already_released"):
        apply(after, fine)
    with pytest.raises(Conflict, match="release_still_runs"):
        apply(after, ev.ReleaseEnded(29 + DAY))
    assert apply(after, ev.ReleaseEnded(31, ANN)).release is None
    assert apply(after, ev.ReleaseEnded(30 + DAY)).release is None
    assert cleared(after).release is None


def test_parties_neither_answer_reject_nor_look_after_their_own() -> None:
    """Who made the answer or asked for it decides nothing about it."""
    held, clear = items()[HOLD], items()[CLEAR]
    appealed = apply(held, ev.Appealed(9, NODE, "why"))
    for party in (NODE, OWNER, GATEWAY, ASKER):
        for item, event, reason in (
            (held, ev.Rejected(9, party, "unfit"), "rejecter_is_party"),
            (held, ev.Assigned(9, ANN, party), "assignee_is_party"),
            (appealed, ev.AppealAnswered(9, party, True, "so"), "answerer_is_party"),
            (clear, ev.SampleAnswered(30, party, True), "answerer_is_party"),
        ):
            assert outcome(item, event) == reason
    assert outcome(held, ev.Appealed(9, ANN, "why")) == "not_a_party"


def test_an_appeal_against_clear_holds_until_it_is_answered() -> None:
    """Open, it holds; not upheld, the gate may clear again; upheld, it stands until an appeal lifts it."""
    appealed = apply(items()[CLEAR], ev.Appealed(12, ASKER, "wrong"))
    assert (appealed.state, appealed.appealed) == (HOLD, True)
    assert cleared(appealed).lacks == ("item:appeal_open",)
    refused = apply(appealed, ev.AppealAnswered(13, ANN, False, "fine"))
    assert cleared(refused).state is CLEAR
    assert outcome(cleared(refused, 14), ev.Appealed(15, ASKER, "again")) == "appeal_used"
    upheld = apply(appealed, ev.AppealAnswered(13, ANN, True, "indeed"))
    assert cleared(upheld).lacks == ("item:appeal_upheld",)
    lifted = apply(apply(upheld, ev.Appealed(14, NODE, "no")), ev.AppealAnswered(15, BEN, True, "true"))
    assert cleared(lifted, 16).state is CLEAR


def test_a_disagreeing_look_holds_and_another_person_answers_it() -> None:
    """A sampled CLEAR stays CLEAR while looked at; who disagreed does not settle the disagreement."""
    clear = items()[CLEAR]
    assert (clear.sampled, clear.samples) == (True, 1)
    assert apply(clear, ev.SampleAnswered(12, ANN, True)).state is CLEAR
    doubted = apply(clear, ev.SampleAnswered(12, ANN, False, "no"))
    assert cleared(doubted).lacks == ("item:sample_disagreed",)
    assert outcome(doubted, ev.AppealAnswered(13, ANN, False, "never mind")) == "answerer_is_party"
    assert cleared(apply(doubted, ev.AppealAnswered(13, BEN, False, "fine"))).state is CLEAR


def test_open_matters_come_before_rejecting_and_restoring_takes_an_upheld_appeal() -> None:
    """REJECTED ends an item unless an appeal against it is upheld."""
    held, rejected = items()[HOLD], items()[REJECTED]
    assert outcome(apply(held, ev.Appealed(9, NODE, "why")), ev.Rejected(10, ANN, "unfit")) == "matter_stands"
    assert apply(rejected, ev.AppealAnswered(30, ANN, False, "no")).state is REJECTED
    assert apply(rejected, ev.AppealAnswered(30, ANN, True, "yes", number=1)).state is HOLD
    assert outcome(rejected, ev.AppealAnswered(30, ANN, True, "yes", number=2)) == "no_open_appeal"
    assert outcome(rejected, ev.Appealed(30, NODE, "again")) == "appeal_open"


def test_final_waits_for_the_dispute_window() -> None:
    """A Finalised before the window closed, or without a window, is refused."""
    clear = items()[CLEAR]
    assert clear.final_at == 60
    early = msgspec.structs.replace(sealed(clear, ev.Finalised), at=59)
    assert outcome(clear, early) == "dispute_window_open"
    assert outcome(clear, msgspec.structs.replace(early, at=60)) == "FINAL"
    endless = msgspec.structs.replace(clear, window=0)
    assert outcome(endless, sealed(endless, ev.Finalised)) == "dispute_window_open"


def test_a_place_in_the_log_is_learned_once() -> None:
    """The index and who owns the node become known and do not change."""
    item = apply(born(ev.Born(1, ID, node=NODE)), ev.Placed(2, 9, OWNER, GATEWAY))
    assert (item.index, item.parties) == (9, (NODE, OWNER, GATEWAY))
    assert outcome(item, ev.Placed(3, 10)) == "item_placed_before"
    assert apply(item, ev.Placed(3, 9, ANN)).owner == OWNER


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ev.Placed(2, -1), "bad_event"),
        (ev.Reviewed(2, "", 1, "x", 1), "bad_event"),
        (ev.Reviewed(2, ANN, 4, "x", 1), "bad_event"),
        (ev.Commented(2, ANN), "bad_event"),
        (ev.Appealed(2, NODE, ""), "bad_event"),
        (ev.AppealAnswered(2, ANN, True, ""), "bad_event"),
        (ev.Rejected(2, ANN, ""), "bad_event"),
        (ev.Commented(2, ANN, "x" * 10_001), "text_too_long"),
        (ev.Rejected(2, ANN, "x", internal="x" * 10_001), "text_too_long"),
    ],
)
def test_an_event_that_says_nothing_usable_is_refused(event: ev.Event, reason: str) -> None:
    """Missing members, unknown judgements and endless texts are no events."""
    with pytest.raises(InvalidInput, match=reason):
        apply(items()[HOLD], event)


def test_a_history_begins_with_a_birth() -> None:
    """Nothing, or anything else first, makes no item."""
    for history in ((), (ev.Commented(1, ANN, "x"),)):
        with pytest.raises(InvalidInput, match="item_not_born"):
            fold(history)
    for broken in (ev.Born(1, ""), ev.Born(1, ID, value=-1), ev.Born(1, ID, -2)):
        with pytest.raises(InvalidInput, match="bad_event"):
            born(broken)
