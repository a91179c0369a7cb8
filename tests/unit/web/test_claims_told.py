"""What leaves the pages: webhooks, mail and the terminal say no more than the marks, in every state."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator

import msgspec
import pytest

from hallmark.apps.cli import output
from hallmark.apps.web.claims import Facts, of_json, of_text, violations
from hallmark.apps.web.marks import word_of
from hallmark.core.marks import Finding, Mark, Question, State, derive_marks
from hallmark.core.policy import Outcome
from hallmark.core.shown import ShownMark, shown, word
from hallmark.review import gate
from hallmark.review.events import Born
from hallmark.review.gate import judge
from hallmark.review.items import born
from hallmark.services.review import notices
from hallmark.testing import scene_parts as parts
from hallmark.testing.dossiers import NEEDED, clearing_policy
from hallmark.testing.scene import NOW, REVIEWER, Scene, digest, marks_of
from hallmark.testing.scene_desk import SceneDesk

BACKGROUNDS = ("absent", "claimed", "witnessed", "failed")
# Which state the item is in when an event is told.
EVENTS = {
    "item.held": "HOLD",
    "item.cleared": "CLEAR",
    "item.rejected": "REJECTED",
    "item.final": "FINAL",
    "item.reviewed": "HOLD",
    "item.appealed": "HOLD",
    "item.released": "HOLD",
}


def scenes() -> Iterator[Scene]:
    """Every state of every mark with every variant, over four backgrounds."""
    for background, question, state in itertools.product(BACKGROUNDS, Question, State):
        marks = {**dict.fromkeys((q.value for q in Question), background), question.value: state.value}
        for assurance in ("simulated", "hardware", "none") if question is Question.RAN else ("simulated",):
            yield Scene(marks, assurance)
        if question is Question.MODEL:
            yield Scene(marks, asserted_by="provider.example")
        if question is Question.INPUTS:
            yield Scene(marks, memory=True)


def facts(scene: Scene) -> dict[str, Facts]:
    """What stands in a scene."""
    marks = marks_of(scene)
    return {
        "-": Facts.of(
            marks,
            path=scene.path,
            preserved=scene.memory,
            item=scene.state,
            policy="witnessed",
            label=parts.LABEL if scene.asserted_by else "",
        )
    }


@pytest.mark.parametrize("event", EVENTS)
def test_webhooks_and_mail(event: str) -> None:
    """The body and the letter of every event."""
    problems = []
    for each in scenes():
        proved = each.marks["proved"] in ("witnessed", "anchored")
        state = EVENTS[event]
        if state in ("CLEAR", "FINAL") and not proved:
            continue
        scene = msgspec.structs.replace(
            each, state=state, released_until=NOW + 1 if event == "item.released" else 0
        )
        row = SceneDesk(scene).row()
        sentence = f"{state} under policy witnessed, version 3, at 16:30:12 UTC."
        data = notices.Data(digest("network"), sentence, row, by=REVIEWER, reason="incomplete", until=NOW)
        body = notices.told(event, NOW, data)
        words = notices.words(notices.read(body), "https://desk.example")
        known = facts(scene)
        for seen in (
            of_json("webhook", msgspec.json.decode(body)),
            of_text("mail", words.body),
            of_text("mail", words.subject, kind="subject"),
        ):
            problems += [str(found) for found in violations(known, seen)]
        if scene.assurance == "simulated" and scene.marks["ran"] not in ("absent", "not_required"):
            assert "; simulated" in words.body
        if state == "HOLD" and event != "item.reviewed":
            assert "HOLD" in words.subject + words.body
    assert problems == [], "\n".join(problems[:20])


def test_a_subject_that_says_approved_is_caught() -> None:
    """The same check fails when a subject or a body says more."""
    scene = Scene({"ran": "claimed"})
    for text in ("Approved: receipt 0x12", "CLEAR and verified", "\u2705 receipt 0x12", "proved witnessed"):
        assert violations(facts(scene), of_text("mail", text, kind="subject")), text
    for body in ({"approved": True}, {"data": {"status": "verified"}}, {"score": "7 of 7"}):
        assert violations(facts(scene), of_json("webhook", body)), body


def test_the_gate_says_of_no_policy_that_it_is_met_beside_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two policies one is met: the sentence of the item in HOLD leaves that out; broken, it is caught."""
    met, asks = clearing_policy("witnessed", State.WITNESSED, ""), clearing_policy("eyes", State.ANCHORED, "")
    found = [Finding(question, State.WITNESSED, "quorum", 5, b"e") for question in NEEDED]
    marks = derive_marks(found)
    item = born(Born(1, digest("receipt"), 3, "", 10, *(f"0x{c * 40}" for c in "1234")))

    def broken() -> set[str]:
        judged = judge(item, [met, asks], marks, 10)
        assert (judged.outcome, "eyes" in judged.sentence) == (Outcome.HOLD, True)
        held = {"-": Facts.of(shown(marks), item="HOLD")}
        return {one.rule for one in violations(held, of_text("sentence", judged.sentence))}

    assert broken() == set()
    source = inspect.getsource(gate._sentence)
    assert LET in source, "the mutation no longer bites"
    changed: dict[str, object] = {}
    exec(source.replace(LET, ""), vars(gate), changed)  # the gate's own code without that condition
    monkeypatch.setattr(gate, "_sentence", changed["_sentence"])
    assert broken() == {"HOLD: meets"}


LET = " if not lacks or d.outcome is Outcome.HOLD"


def test_the_terminal() -> None:
    """The seven marks in full, as `ask` and `verify` print them; money has no colour of a proof."""
    problems = []
    for scene in scenes():
        marks = {Question(mark.question): struck(mark) for mark in marks_of(scene)}
        text = output.marks_in_full(marks)
        problems += [str(found) for found in violations(facts(scene), of_text("terminal", text.plain))]
        colours = {str(span.style) for span in output.strike(marks[Question.PAID]).spans}
        assert not {"green", "blue", "red", "yellow"} & (
            {str(output.strike(marks[Question.PAID]).style)} | colours
        )
        for question, mark in marks.items():
            style = str(output.strike(mark).style)
            assert style != "green" or mark.state is State.WITNESSED, question
            assert style != "blue" or mark.state is State.ANCHORED, question
            if question is Question.RAN and mark.assurance == "simulated":
                assert style not in ("green", "blue")
                assert "simulated" in output.word(mark)
    assert problems == [], "\n".join(problems[:20])


def struck(mark: ShownMark) -> Mark:
    """The mark behind a shown one."""
    return Mark(
        Question(mark.question), State(mark.state), mark.since, mark.by, b"", mark.shows, mark.does_not_show,
        mark.reason, mark.assurance, mark.detail,
    )  # fmt: skip


def test_one_word_for_a_state_everywhere() -> None:
    """Drawings, mail and terminals use the same word for the same state."""
    for question, state in itertools.product(Question, State):
        assert word(question, state) == word_of(question.value, state.value)
