"""The table of forbidden claims: every rule catches what it is for, and nothing else would have."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from hallmark.apps.web.claims import RULES, Facts, Observation, Row, Run, Struck, of_json, of_text, violations
from hallmark.apps.web.marks import drawn
from hallmark.core.evidence import Assurance
from hallmark.core.marks import Question, State
from hallmark.core.receipt import Mode
from hallmark.core.shown import ShownMark
from hallmark.services.explorer.wording import mode_told
from hallmark.testing.scene import Scene, marks_of
from hallmark.verification import wording

ME = "0x" + "11" * 32
STATES = tuple(state.value for state in State)
ALL_WITNESSED = dict.fromkeys((q.value for q in Question), "witnessed")
PALETTE = {
    "grey": "#66625a",
    "ink": "#1b1d22",
    "green": "#1f4d46",
    "blue": "#123a5e",
    "ochre": "#8a4b08",
    "red": "#8f1d1d",
    "coin": "#3d3d3d",
    "coin-quiet": "#646464",
}


class Case(NamedTuple):
    """A rule, facts under which it bites, what breaks it, and what may be said instead."""

    rule: str
    facts: Facts
    bad: str
    good: str
    place: dict[str, Any] = {}


def facts(**given: Any) -> Facts:
    """Everything witnessed on real hardware and the sealed path, but for what is given."""
    states = {**ALL_WITNESSED, **given.pop("states", {})}
    return Facts(states, **{"assurance": "hardware", "path": "sealed", **given})


CASES = (
    Case("adjectives of trust", facts(), "This answer is secure.", "It was given 18 ms after the last byte."),
    Case("verified alone", facts(), "Verified", "3 of 4 full nodes verified this at 12:03:22."),
    Case("approved", facts(), "Approved on Tuesday.", "The authority approved this measurement."),
    Case("overall", facts(), "Overall: very good.", "There is no overall mark."),
    Case("the answer is right", facts(), "The answer is correct.", "Does not say that the answer is right."),
    Case("signs of approval", facts(), "proved \u2714", "proved witnessed"),
    Case(
        "the network is well",
        facts(),
        "The network is up.",
        "2 nodes answered the gateway 3 s ago.",
    ),
    Case("paid means proved", facts(), "Paid and proved.", "A payment is named."),
    Case(
        "ran below witnessed",
        facts(states={"ran": "claimed"}),
        "Attested by the node.",
        "This is not attested by anyone.",
    ),
    Case(
        "ran simulated: hardware",
        facts(assurance="simulated"),
        "Hardware evidence names the image.",
        "Simulated hardware; it does not protect from its own host.",
    ),
    Case(
        "ran simulated: attested",
        facts(assurance="simulated"),
        "The image is attested.",
        "Attested by simulated hardware.",
    ),
    Case(
        "ran without hardware", facts(assurance="none"), "Hardware evidence was seen.", "No hardware vouches."
    ),
    Case("no zero knowledge", facts(mode="tee"), "It has a zk proof.", "It has no zero-knowledge proof."),
    Case(
        "mode vanilla: enclave",
        facts(assurance="none", mode="vanilla", confinement="vanilla"),
        "The enclave ran it.",
        "Node 0x12 ran this without an enclave, and nothing measured its code.",
    ),
    Case(
        "mode replay: computed again",
        facts(mode="replay"),
        "The answer was computed again: the same bits.",
        "Whoever has artifact and prompt can compute the same bits again; nobody did so here.",
    ),
    Case(
        "mode of a node: replay",
        facts(mode="tee", confinement="tee"),
        "The answer can be repeated.",
        "Full nodes did not run the model again.",
    ),
    Case(
        "model asserted: artifact",
        facts(asserted_by="example", artifact="0x3f9a11aa22bb"),
        "0x3f9a11aa22bb",
        "No artifact of this network answered.",
    ),
    Case(
        "model asserted: label",
        facts(asserted_by="example", label="large"),
        "Answered by large",
        "large, asserted by example",
    ),
    Case(
        "route plain",
        facts(path="plain"),
        "A private conversation.",
        "Does not say that the path was private.",
    ),
    Case("route direct", facts(path="direct"), "You are anonymous.", "The node saw who asked."),
    Case(
        "route sealed: more than sealed",
        facts(),
        "Nobody else can read it.",
        "The relay saw an address, a size class and a time. payer: anonymous.",
    ),
    Case(
        "route sealed: to what hardware",
        facts(assurance="simulated"),
        "Sealed to a key of window 17.",
        "Sealed to a key of window 17; who runs its host could read the prompt: simulated.",
    ),
    Case(
        "sealed means good",
        facts(),
        "It went sealed, so the answer is right.",
        "The request went sealed, which says nothing about the answer.",
    ),
    Case(
        "inputs preserved",
        facts(preserved=True),
        "Used 3 rows of memory.",
        "1 row of memory, 90 days old, not re-validated.",
    ),
    Case(
        "paid: covered",
        facts(),
        "paid: recorded. You are covered.",
        "paid: recorded.",
        {"question": "paid", "kind": "label"},
    ),
    Case("paid: promises", facts(), "The payment is final.", "A payment of 1200 atomic units is named."),
    Case("paid: untraceable", facts(), "The payer is fully anonymous.", "An anonymous payer is charged."),
    Case("paid: words of others", facts(), "witnessed", "recorded", {"question": "paid", "kind": "word"}),
    Case(
        "proved below witnessed",
        facts(states={"proved": "checked"}),
        "It is settled.",
        "It waits until a quorum has cosigned a checkpoint.",
    ),
    Case(
        "proved below witnessed: its mark",
        facts(states={"proved": "claimed"}),
        "proved: claimed. 3 of 4 full nodes checked it.",
        "proved: claimed. The node alone says so.",
        {"question": "proved", "kind": "label"},
    ),
    Case(
        "proved below anchored",
        facts(),
        "It is on-chain.",
        "It is not on-chain.",
    ),
    Case("nothing anchored", facts(), "The chain holds the checkpoint.", "No chain was asked."),
    Case(
        "proved: objections",
        facts(states={"proved": "disputed"}),
        "It is undisputed.",
        "One full node objects.",
    ),
    Case(
        "reviewed absent",
        facts(states={"reviewed": "absent"}),
        "It was reviewed by Ada.",
        "Nobody has judged this answer.",
    ),
    Case(
        "reviewed absent: its mark",
        facts(states={"reviewed": "absent"}),
        "reviewed: absent. Everything was checked.",
        "reviewed: absent. Does not come from any machine check above.",
        {"question": "reviewed", "kind": "label"},
    ),
    Case("acts that nobody did", facts(), "The item is REJECTED.", "It becomes REJECTED once somebody does."),
    Case(
        "ran simulated: who could read",
        facts(assurance="simulated"),
        "node node-1: did not see the prompt in clear (node's word)",
        "gateway one: did not see the prompt in clear (node's word); node node-1: could read the prompt",
    ),
    Case(
        "ran of a provider: ran",
        facts(asserted_by="example"),
        "The node alone says: it ran this, as its receipt says.",
        "The node alone says: it passed this on, as its receipt says; what ran the model was not measured.",
    ),
    Case(
        "ran of a provider: passed on",
        facts(asserted_by="example"),
        "Image 1.4 passed this on from an enclave of node 0x12, mode tee; no hardware vouches for it.",
        "It passed this on from an enclave of node 0x12, mode tee; what ran the model was not measured.",
    ),
    Case(
        "HOLD: meets",
        facts(item="HOLD"),
        "meets witnessed (asks for ran, model); held by appeal",
        "does not meet witnessed (asks for ran, model; still needs ran)",
    ),
    Case("HOLD: controls", facts(item="HOLD"), "Export", "Export (HOLD)", {"kind": "control"}),
    Case("HOLD: words", facts(item="HOLD"), "This was released.", "Released by Ada until 14:00, still HOLD."),
    Case("REJECTED: words", facts(item="REJECTED"), "It is all set.", "REJECTED by a reviewer."),
)


BORROWED = (
    (
        "no zero knowledge",
        {"mode": "replay"},
        ("Zero knowledge.", "zkSNARK-free? a zk-SNARK.", "Proven by a circuit."),
    ),
    (
        "mode vanilla: enclave",
        {"mode": "replay", "confinement": "vanilla", "assurance": "none"},
        ("Answered in an enclave.", "Runs in a TEE.", "Image 1.4 ran this in an enclave of node 0x12."),
    ),
    (
        "mode replay: computed again",
        {"mode": "replay", "confinement": "tee"},
        ("Re-ran the model.", "Bit for bit.", "It can be computed again. The run was repeated."),
    ),
    ("mode of a node: replay", {"mode": "vanilla"}, ("The same bits came.", "A reproducible run.")),
)


@pytest.mark.parametrize(
    ("rule", "given", "said"), [(rule, given, one) for rule, given, said in BORROWED for one in said]
)
def test_no_mode_borrows_anothers_words(rule: str, given: dict[str, str], said: str) -> None:
    """Each sentence belongs to another mode than the receipt's, however it is put."""
    assert rule in {found.rule for found in violations({ME: facts(**given)}, observed(said, {}))}


def test_an_answer_that_was_computed_again_here_may_be_said_to_be() -> None:
    """`hallmark replay` says it of its own run, and of no other mode's receipt."""
    seen = observed("The answer was computed again here: the same bits.", {})
    assert violations({ME: facts(mode="replay", replayed=True)}, seen) == ()
    assert violations({ME: facts(mode="tee", replayed=True)}, seen) != ()


@pytest.mark.parametrize(
    ("receipt", "bundle"), [(Mode.VANILLA, 0), (Mode.TEE, 1), (Mode.REPLAY, 0), (Mode.REPLAY, 1)]
)
def test_what_the_product_says_of_each_mode_is_its_own(receipt: Mode, bundle: int) -> None:
    """Its sentence about a receipt breaks no rule of the table under that receipt's mode and confinement."""
    confined = ("vanilla", "tee")[bundle]
    assurance = (Assurance.NONE, Assurance.HARDWARE)[bundle]
    notes = wording.beside(receipt, shown=True)
    how = {"image": "1.4" * bundle, "assurance": assurance, "said": receipt}
    said = wording.ran(bytes(32), bundle, **how, notes=notes)
    own = facts(assurance=assurance.value, mode=receipt.name.lower(), confinement=confined)
    for text in (said, mode_told(receipt)):
        assert violations({ME: own}, observed(text, {})) == ()


def test_a_mode_that_can_be_repeated_is_told_with_that_nobody_did() -> None:
    """In the explorer's own sentence as in the mark's."""
    assert mode_told(Mode.REPLAY).endswith("; nobody did so here")
    assert all(said.endswith("; nobody did so here") for said in wording.BESIDE.values())


def test_a_receipt_that_says_zkml_is_told_without_a_proof() -> None:
    """The explorer's sentence about the mode says that no proof of it is understood."""
    assert violations({ME: facts(mode="zkml")}, observed(mode_told(Mode.ZKML), {})) == ()


def test_mode_and_confinement_come_from_the_mark_ran() -> None:
    """A mode of a node says what confines it; a replay receipt's mark does not, so that stays unknown."""
    for mode, confined in (("vanilla", "vanilla"), ("tee", "tee"), ("replay", ""), ("unknown", "")):
        marks = [
            msgspec.structs.replace(mark, detail={"mode": mode})
            for mark in marks_of(Scene({"ran": "claimed"}))
        ]
        own = Facts.of(marks)
        assert (own.mode, own.confinement) == (mode, confined)


def observed(text: str, place: dict[str, Any]) -> Observation:
    """A surface that says `text` about the subject."""
    return Observation("test", (Run(text, **{"kind": "text", "context": text, "subject": ME, **place}),))


@pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])
def test_each_rule_catches_its_own_and_only_by_itself(case: Case) -> None:
    """The bad sentence breaks the rule, and no other rule of that name; the good one passes."""
    bad = observed(case.bad, case.place)
    assert case.rule in {found.rule for found in violations({ME: case.facts}, bad)}
    weakened = [rule for rule in RULES if rule.name != case.rule]
    assert case.rule not in {found.rule for found in violations({ME: case.facts}, bad, weakened)}
    assert violations({ME: case.facts}, observed(case.good, case.place)) == ()


def test_every_rule_has_a_case() -> None:
    """No rule stands in the table without a sentence that breaks it."""
    assert {case.rule for case in CASES} == {rule.name for rule in RULES}


@pytest.mark.parametrize(
    "case", [case for case in CASES if RULES[[r.name for r in RULES].index(case.rule)].scope != "anywhere"]
)
def test_conditions_matter(case: Case) -> None:
    """Under facts that allow it, the very same sentence is no violation of the rule."""
    free = Facts({**ALL_WITNESSED, "proved": "anchored"}, "hardware", path="", item="CLEAR", label="other")
    rule = next(rule for rule in RULES if rule.name == case.rule)
    if rule.when.sentence() == "always":
        return
    assert case.rule not in {found.rule for found in violations({ME: free}, observed(case.bad, case.place))}


def test_an_act_is_told_to_whoever_did_it() -> None:
    """What the answer to an act says is no claim there; anywhere else, and of nothing, it is one."""
    seen = observed("The appeal is open.", {})
    assert {found.rule for found in violations({ME: facts()}, seen)} == {"acts that nobody did"}
    assert violations({ME: facts(done="appeal")}, seen) == ()
    of_nothing = observed("The filter was saved.", {"subject": ""})
    assert {found.rule for found in violations({}, of_nothing)} == {"acts that nobody did"}


@pytest.mark.parametrize(
    ("line", "cell", "said"),
    [
        ("node node-1 0x12 did not see the prompt", "did not see the prompt", True),
        ("gateway g 0x12 did not see it (node's word)", "did not see it (node's word)", False),
        ("gateway g: never saw it. node n: never saw it", "", True),
        ("gateway g: never saw it; node n: could read it", "", False),
        ("The prompt was not seen by the node.", "", True),
        ("It was not read by the gateway, says the node.", "", False),
    ],
)
def test_who_did_not_see_is_who_is_named_nearest(line: str, cell: str, said: bool) -> None:
    """In a cell whose row names the party, in a sentence, in a list: it is said of the nearest one."""
    low = facts(assurance="simulated")
    found = violations({ME: low}, observed(cell or line, {"context": line}))
    assert {one.rule for one in found} == ({"ran simulated: who could read"} if said else set())


@pytest.mark.parametrize(
    "text",
    [
        "Nobody doubts it: attested.",
        "Not slow, but it took a while and in the end all of it was certainly attested.",
        "Attested, not merely claimed.",
        "atTESted",
    ],
)
def test_a_denial_reaches_no_further_than_its_clause(text: str) -> None:
    """Denials elsewhere in a sentence excuse nothing."""
    low = facts(states={"ran": "claimed"})
    assert "ran below witnessed" in {found.rule for found in violations({ME: low}, observed(text, {}))}


def honest(mark: ShownMark) -> Struck:
    """The mark as the templates draw it."""
    one = drawn(mark, "h")
    tone = PALETTE[one.attributes["data-tone"]]
    return Struck(
        one.attributes["data-question"],
        one.attributes["data-state"],
        one.word,
        one.attributes["aria-label"],
        one.attributes["title"],
        one.name,
        one.assurance,
        one.assertion,
        (tone,),
        any("hm-solid" in layer.attributes.get("class", "") for layer in one.layers)
        and mark.state in ("witnessed", "anchored"),
        bool(one.hatch),
        parts=("hm-cartouche", "hm-name", "hm-word"),
        contrast=6.0,
        left=list(Question).index(Question(mark.question)) * 40.0,
    )


def row_of(scene: Scene) -> Row:
    """A scene's row of marks."""
    return Row(ME, tuple(honest(mark) for mark in marks_of(scene)))


def of_scene(scene: Scene) -> Facts:
    """A scene's facts."""
    return Facts.of(marks_of(scene), path=scene.path, preserved=scene.memory)


def test_honest_rows_pass_in_every_state() -> None:
    """Every state of every mark with every assurance, drawn as the templates draw it, breaks nothing."""
    for question, state, assurance, by in itertools.product(
        Question, STATES, ("simulated", "hardware", "none"), ("", "example")
    ):
        scene = Scene({question.value: state, "proved": "claimed"}, assurance, by)
        seen = Observation("test", rows=(row_of(scene),))
        assert violations({ME: of_scene(scene)}, seen) == ()


LOW = Scene(
    {"ran": "claimed", "model": "claimed", "route": "failed", "proved": "witnessed"}, asserted_by="example"
)
# A provider's answer whose label has everything but that what ran the model was not measured.
UNTOLD = "ran: claimed; simulated. Image 1.4 ran this. Does not say that the answer is good."
DRAWN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("solid only where struck", "model", {"solid": True}),
    ("solid only where struck", "ran", {"solid": True}),
    ("green and blue only where struck", "ran", {"colours": ("#1f4d46",)}),
    ("green and blue only where struck", "model", {"colours": ("#7cc4b6",)}),
    ("green and blue only where struck", "proved", {"colours": ("#123a5e",)}),
    ("green and blue only where struck", "paid", {"colours": ("#8fbbe6",)}),
    ("simulated stands with the mark", "ran", {"assurance": ""}),
    ("simulated stands with the mark", "ran", {"qualifier_hidden": True}),
    ("simulated stands with the mark", "ran", {"assurance": "hardware"}),
    ("simulated is hatched", "ran", {"hatched": False}),
    ("asserted stands with the mark", "model", {"assertion": ""}),
    ("asserted stands with the mark", "model", {"qualifier_hidden": True}),
    ("states as they are", "model", {"state": "witnessed"}),
    ("words as they are", "model", {"word": "witnessed"}),
    ("words as they are", "proved", {"name": "settled"}),
    ("labels as the marks", "ran", {"label": "ran: witnessed.", "title": "ran: witnessed."}),
    ("labels as the marks", "ran", {"title": "verified"}),
    ("labels as the marks", "proved", {"label": "proved: witnessed.", "title": "proved: witnessed."}),
    ("labels as the marks", "ran", {"label": UNTOLD, "title": UNTOLD}),
    ("nothing added to a mark", "proved", {"rest": "ok"}),
    ("nothing added to a mark", "proved", {"parts": ("hm-cartouche", "hm-tick")}),
    ("negative marks are not lowered", "route", {"size": 30.0}),
    ("negative marks are not lowered", "route", {"font": 9.0}),
    ("negative marks are not lowered", "route", {"contrast": 4.9}),
    ("negative marks are not lowered", "route", {"top": 40.0}),
    ("negative marks are not lowered", "route", {"word_hidden": True}),
    ("negative marks are not lowered", "route", {"opacity": 0.5}),
    ("marks are seen", "proved", {"opacity": 0.4}),
    ("marks are seen", "proved", {"contrast": 3.0}),
    ("marks are seen", "proved", {"size": 8.0}),
)


@pytest.mark.parametrize(("rule", "question", "change"), DRAWN)
def test_each_change_of_a_drawing_is_caught(rule: str, question: str, change: dict[str, Any]) -> None:
    """One thing about one mark drawn otherwise breaks the duty that it is against."""
    row = row_of(LOW)
    marks = tuple(msgspec.structs.replace(m, **change) if m.question == question else m for m in row.marks)
    found = violations({ME: of_scene(LOW)}, Observation("test", rows=(Row(ME, marks),)))
    assert rule in {one.rule for one in found}


def test_a_row_has_all_seven_in_order_and_belongs_to_something() -> None:
    """A missing mark, two that changed places, and a row of nothing are caught."""
    row, known = row_of(LOW), {ME: of_scene(LOW)}
    swapped = (row.marks[1], row.marks[0], *row.marks[2:])
    for marks in (row.marks[:-1], swapped):
        found = violations(known, Observation("test", rows=(Row(ME, marks),)))
        assert {one.rule for one in found} == {"seven marks in order"}
    stray = violations({}, Observation("test", rows=(row,)))
    assert {one.rule for one in stray} == {"marks of a known subject"}


@pytest.mark.parametrize(
    ("lines", "broken"),
    [((7,), ""), ((4, 3), ""), ((3, 3, 1), ""), ((2, 5), "order"), ((1, 4, 2), "order"), ((1,) * 7, "")],
)
def test_a_row_wraps_line_by_line(lines: tuple[int, ...], broken: str) -> None:
    """On a narrow screen lines are filled in order; within its line no negative mark stands lower."""
    row, known = row_of(LOW), {ME: of_scene(LOW)}
    places = [(number * 80.0, at * 50.0) for number, count in enumerate(lines) for at in range(count)]
    placed = tuple(
        msgspec.structs.replace(mark, top=top, left=left)
        for mark, (top, left) in zip(row.marks, places, strict=True)
    )
    found = violations(known, Observation("test", rows=(Row(ME, placed),)))
    assert {one.rule for one in found} == ({"seven marks in order"} if broken else set())
    sunk = tuple(
        msgspec.structs.replace(mark, top=mark.top + 9) if mark.question == "route" else mark
        for mark in placed
    )
    found = violations(known, Observation("test", rows=(Row(ME, sunk),)))
    if max(lines) > 1 and not broken:
        assert {one.rule for one in found} == {"negative marks are not lowered"}
    upside = tuple(msgspec.structs.replace(mark, top=-mark.top) for mark in placed)
    if len(lines) > 1:
        found = violations(known, Observation("test", rows=(Row(ME, upside),)))
        assert {one.rule for one in found} == {"seven marks in order"}


def test_plain_text_is_held_to_the_same_table() -> None:
    """Mail and terminal lines that state a mark's state state the true one, with what qualifies it."""
    known = {"-": of_scene(LOW)}
    good = "HOLD: route does not hold.\nran claimed, simulated\nproved witnessed\n  by 3 of 4 full nodes"
    assert violations(known, of_text("mail", good)) == ()
    for bad, rule in (
        ("ran claimed", "simulated stands with the mark"),
        ("ran witnessed, simulated", "states as they are"),
        ("7 of 7", "marks are not counted"),
        ("Your answer is approved", "approved"),
    ):
        assert rule in {one.rule for one in violations(known, of_text("mail", bad))}, bad


@pytest.mark.parametrize(
    "score", ["3 of 7", "7 of 7 marks", "3 out of seven hold", "3 of 7, 12 s ago", "3 of 7."]
)
def test_a_count_of_something_else_is_no_score(score: str) -> None:
    """Seven prompts, full nodes or slots may be counted; a number that stands for marks may not."""
    known = {"-": of_scene(LOW)}
    for counted in ("3 of 7 prompts seen in clear", "5 of 7 full nodes cosigned it", "1 of 7 slots are idle"):
        assert violations(known, of_text("page", counted)) == (), counted
    assert [one.rule for one in violations(known, of_text("page", score))] == ["marks are not counted"]


def test_a_true_key_is_a_claim() -> None:
    """A webhook body with `"verified": true` says verified; `false` says nothing."""
    known = {"-": of_scene(LOW)}
    assert violations(known, of_json("webhook", {"data": {"verified": False, "state": "HOLD"}})) == ()
    found = violations(known, of_json("webhook", {"data": [{"verified": True}]}))
    assert "verified alone" in {one.rule for one in found}


WHERE = {
    "anywhere": "any text",
    "subject": "text about the receipt or item",
    "control": "names of buttons and links",
    "mark": "text of the mark `{}`",
    "word": "the word of `{}`",
}


def test_the_table_is_documented() -> None:
    """docs/claims.md holds every rule as it is, and no other."""
    text = (Path(__file__).parents[3] / "docs" / "claims.md").read_text()
    table = text.split("|---|---|---|---|\n")[1].split("\n\n")[0]
    rows = [
        f"| {rule.name} | {rule.when.sentence()} | {WHERE[rule.scope].format(rule.question)} | {rule.why} |"
        for rule in RULES
    ]
    assert table.splitlines() == rows


@pytest.mark.parametrize(
    "bad",
    [
        "This answer is paid and proved.",
        "Settled, so verified.",
        "Checked by the payment.",
        "The payment proves what ran.",
        "The settlement confirms the answer.",
        "You paid for a proof.",
        "It buys a good answer.",
        "The charge is settled.",
    ],
)
def test_money_lends_its_word_to_no_fact(bad: str) -> None:
    """Whatever the marks say, no surface calls something proved because it was paid."""
    found = violations({ME: facts()}, of_text("page", bad, subject=ME))
    assert {one.rule for one in found} & {"paid means proved", "paid: promises"}


def test_what_the_vault_did_with_money_may_be_said() -> None:
    """That its contract settled a charge, with its name, also where no quorum covers the receipt yet."""
    low = facts(states={"proved": "claimed"})
    for good in (
        "The vault settled this charge in block 1,204.",
        "Not settled by the vault yet.",
        "It buys no proof and no good answer.",
        "Nobody is charged for this answer, so there is nothing for a vault to settle.",
    ):
        assert violations({ME: low}, of_text("page", good, subject=ME)) == ()
    assert violations({ME: low}, of_text("page", "It is settled.", subject=ME))
