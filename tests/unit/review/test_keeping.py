"""What is kept of a decision: screens, histories, and that neither can be changed unseen."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.core.marks import Finding, State, derive_marks
from hallmark.core.policy import Outcome
from hallmark.review import events as ev
from hallmark.review.gate import judge
from hallmark.review.history import FIRST, Record, recall, recall_events, record, records
from hallmark.review.items import fold
from hallmark.review.screens import Screen, verify_screen
from hallmark.testing.dossiers import NEEDED, clearing_policy

ID = "0x" + "7c" * 32
POLICY = msgspec.structs.replace(
    clearing_policy("witnessed", State.WITNESSED, "hardware"), dispute_window=5, resample=1_000_000
)
GOOD = derive_marks(
    Finding(q, State.WITNESSED, "quorum", 5, b"e", detail={"assurance": "hardware", "what": "ü"})
    for q in NEEDED
)


def history() -> list[ev.Event]:
    """HOLD, CLEAR, sampled, FINAL."""
    events: list[ev.Event] = [ev.Born(1, ID), ev.Commented(2, ID, "x")]
    for now, marks in ((3, {}), (4, GOOD), (20, GOOD)):
        events += judge(fold(events), [POLICY], marks, now).events
    return events


def test_a_recalled_history_is_the_item() -> None:
    """Written, read back and folded, the item is the same, with the seals of its events."""
    events = history()
    chain = [Record.decode(each.encode()) for each in records(ID, events)]
    assert recall(chain, chain[-1].id) == fold(events)
    assert recall_events(chain, chain[-1].id) == events
    assert {event.kind for event in events} >= {"born", "evaluated", "sampled", "finalised"}
    assert chain[0].previous == FIRST
    assert "seal" not in chain[-1].encode().decode()
    more = record(ID, ev.Commented(30, ID, "y"), chain[-1])
    assert recall([*chain, more], more.id).version == len(events) + 1


def test_a_history_that_was_touched_is_refused() -> None:
    """Taking out, putting in, changing, reordering or cutting off a record breaks the chain."""
    chain = records(ID, history())
    head = chain[-1].id
    forged = msgspec.structs.replace(chain[1], event=chain[1].event | {"comment": "z"})
    strange = msgspec.structs.replace(chain[1], item="0x" + "00" * 32)
    for touched in (
        [],
        chain[1:],
        chain[:-1],
        [*chain[:2], *chain[3:]],
        [chain[0], forged, *chain[2:]],
        [chain[0], strange, *chain[2:]],
        [chain[1], chain[0], *chain[2:]],
        [*chain, chain[-1]],
    ):
        with pytest.raises(VerificationFailed, match="history_broken"):
            recall(touched, head)


def test_a_chain_of_what_is_no_event_is_refused() -> None:
    """A well-formed chain does not make its content an event, nor an event possible."""
    first = record(ID, ev.Born(1, ID))
    for event, reason in (
        ({"kind": "cleared", "at": 1}, "bad_event"),
        ({"kind": "commented"}, "bad_event"),
        ({"kind": "commented", "at": 1, "by": "x", "comment": "y", "seal": 1}, "bad_event"),
        ({"kind": "born", "at": 1, "id": ID}, "item_already_born"),
        ({"kind": "finalised", "at": 1, "basis": 1, "decision": "", "screen": ""}, "item_not_clear"),
    ):
        second = Record(ID, 2, first.id, event)
        with pytest.raises(HallmarkError) as refused:
            recall([first, second], second.id)
        assert refused.value.reason == reason


def test_a_hold_needs_no_seal_to_be_recalled() -> None:
    """Only what lets an item out is sealed."""
    chain = records(ID, history())
    found = [event for event in recall_events(chain, chain[-1].id) if isinstance(event, ev.Evaluated)]
    assert [(event.outcome, event.seal is None) for event in found] == [
        (Outcome.HOLD, True),
        (Outcome.CLEAR, False),
    ]


def test_a_screen_shows_again_exactly_what_it_showed() -> None:
    """Its digest is in the evaluation; any other screen is refused."""
    judged = judge(fold([ev.Born(1, ID)]), [POLICY], GOOD, 4, facts=(("model", "digits"),))
    evaluated = judged.events[0]
    assert isinstance(evaluated, ev.Evaluated)
    assert evaluated.screen == judged.screen.id
    data = judged.screen.encode()
    again = verify_screen(data, judged.screen.id)
    assert again == judged.screen
    assert [mark.question for mark in again.marks] == [
        "ran", "model", "route", "inputs", "paid", "proved", "reviewed",
    ]  # fmt: skip
    assert (again.facts[0].name, again.facts[0].value) == ("model", "digits")
    assert (again.sentence, again.policies) == (
        "meets witnessed (asks for ran, model, route, proved)",
        ("witnessed",),
    )
    other = msgspec.structs.replace(again, sentence="meets witnessed (asks for ran)")
    with pytest.raises(VerificationFailed, match="screen_changed"):
        verify_screen(other.encode(), judged.screen.id)
    with pytest.raises(InvalidInput, match="bad_document"):
        verify_screen(b" " + data, judged.screen.id)


def test_documents_of_the_desk_refuse_what_is_not_canonical() -> None:
    """Screens and records: one valid encoding and at least three that are refused."""
    screen = judge(fold([ev.Born(1, ID)]), [POLICY], GOOD, 4).screen
    for cls, data in ((Screen, screen.encode()), (Record, record(ID, ev.Born(1, ID)).encode())):
        assert cls.decode(data).encode() == data
        for wrong in (data[:-1], data + b" ", data[:-1] + b',"x":1}', b"{}", data.replace(b'"0x', b'"0X', 1)):
            with pytest.raises(InvalidInput, match="bad_document"):
                cls.decode(wrong)
