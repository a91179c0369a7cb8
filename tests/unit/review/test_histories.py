"""The gate against ten thousand generated histories.

Every history is a little world: marks that are struck, contradicted and age, policies that change,
declarations, reviews, appeals, break-glass. After each step the gate judges, and an oracle that was written
from the rules alone (docs/review-gate.md), and calls nothing of the product's evaluator, says whether the
item may be clear.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.errors import Conflict
from hallmark.core.marks import LADDER, Mark, Question, State
from hallmark.review import events as ev
from hallmark.review.gate import judge
from hallmark.review.history import recall, records
from hallmark.review.items import DAY, Item, ItemState, apply, fold

HISTORIES, STEPS, PARTS = 10_000, 4, 4
MINUTE = 60_000
ID = "0x" + "7c" * 32
NODE, OWNER, GATEWAY, ASKER, ANN, BEN, CID = (f"0x{c * 40}" for c in "1234abc")
REVIEWERS = (ANN, BEN, CID, ASKER, NODE)
BAD = ("failed", "revoked", "disputed", "stale")
FAULTY = ("failed", "revoked", "disputed")
RUNGS = {"absent": 0, "claimed": 1, "checked": 2, "witnessed": 3, "anchored": 4}
FOUR = ("ran", "model", "route", "proved")


def policy(name: str, *more: Requirement, **changes: object) -> ClearingPolicy:
    """A policy that asks `witnessed` of four questions, `more`, and waives the rest."""
    needs = {q: Requirement(q, "witnessed") for q in FOUR} | {need.question: need for need in more}
    waived = tuple(q.value for q in Question if q.value not in needs)
    made = ClearingPolicy(name, 1, tuple(needs.values()), waived, resample=200_000)
    return msgspec.structs.replace(made, **changes)


BASE = policy("base", dispute_window=10 * MINUTE, sla=MINUTE)
OTHERS = (
    policy("young", Requirement("ran", "witnessed", max_age=10 * MINUTE), classes=("pay",)),
    policy("simulated", Requirement("ran", "checked", assurance=("hardware", "simulated")), classes=("lab",)),
    policy("four-eyes", Requirement("reviewed", "witnessed", count=2), min_value=100, dispute_window=MINUTE),
    policy("eyes", Requirement("reviewed", "witnessed", count=1, max_age=20 * MINUTE), classes=("pay",)),
    policy("anchored", Requirement("proved", "anchored"), min_value=10, classes=("pay", "lab")),
    policy("named", Requirement("ran", "witnessed", verifiers=("quorum",)), dispute_window=MINUTE),
    policy("forgot", not_required=("inputs", "paid")),
    policy("tried", Requirement("paid", "anchored"), enforcement="warn"),
    policy("twice", requires=(*BASE.requires, Requirement("ran", "witnessed"))),
    policy("nothing", Requirement("paid", "absent")),
    policy("any-review", Requirement("reviewed", "checked"), classes=("lab",)),
)
UNSOUND = ("twice", "nothing")


class World:
    """What is true at one moment, kept apart from the item."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 1_000_000
        self.policies: list[ClearingPolicy] = [BASE]
        self.marks = {question: _mark(question, "absent", 0) for question in Question}
        self.classes = {""}
        self.value = rng.choice((0, 0, 5, 50, 500))
        self.askers = {ASKER} if rng.random() < 0.7 else set[str]()
        self.teller = ""
        self.open: dict[int, tuple[str, str]] = {}
        self.matters = 0
        self.contested = False

    def birth(self) -> ev.Born:
        """The item's first event."""
        return ev.Born(
            self.now,
            ID,
            value=self.value,
            requester=next(iter(self.askers), ""),
            node=NODE,
            owner=OWNER,
            gateway=GATEWAY,
        )

    def may_be_clear(self) -> bool:
        """The oracle: whether every rule lets the item go at this moment."""
        if any(mark.state in BAD for mark in self.marks.values()):
            return False
        if self.open or self.contested:
            return False
        applying = self.applying()
        return applying is not None and all(self._meets(p) for p in applying)

    def applying(self) -> list[ClearingPolicy] | None:
        """The enforced policies that the item is under; None when a class of it has none."""
        found: list[ClearingPolicy] = []
        for klass in sorted(self.classes):
            fit = [p for p in self.policies if p.enforcement != "warn" and p.min_value <= self.value]
            own = [p for p in fit if klass and klass in p.classes]
            general = [p for p in fit if p.classes == ()]
            own = [p for p in own if p.min_value == max(o.min_value for o in own)]
            general = [p for p in general if p.min_value == max(g.min_value for g in general)]
            if own and general and own[0].min_value >= general[0].min_value:
                general = []
            if not own and not general and (klass or self.classes == {""}):
                return None
            found += own + general
        return found

    def _meets(self, p: ClearingPolicy) -> bool:
        if p.name in UNSOUND:
            return False
        asked = {need.question for need in p.requires}
        if any(q not in asked and q not in p.not_required for q in Question):
            return False
        return all(self._holds(need) for need in p.requires)

    def _holds(self, need: Requirement) -> bool:
        mark = self.marks[Question(need.question)]
        rung = RUNGS.get(mark.state.value, -1)
        fresh = need.max_age == 0 or self.now - mark.since <= need.max_age
        if need.question == "reviewed":
            eyes = set(mark.detail.get("reviewers", "").split())
            counting = eyes - {NODE, OWNER, GATEWAY, self.teller} - self.askers
            if not counting or len(counting) < need.count:
                return False
            if need.count > 0 and not self.askers:
                return False
            if need.max_age and counting != eyes:
                return False
        if need.question == "ran" and mark.assurance not in need.assurance:
            return False
        return rung >= RUNGS[need.state] and fresh and (not need.verifiers or mark.by in need.verifiers)


def _mark(question: Question, state: str, since: int, **more: object) -> Mark:
    made = Mark(question, State(state), since, "quorum" if since else "", b"", "s", "d")
    return msgspec.structs.replace(made, reason="why" if state in BAD else "", **more)


def strike(world: World) -> None:
    """Some question's mark is struck anew, mostly as asked."""
    for question in world.rng.sample(FOUR, 3):
        world.marks[Question(question)] = _good(world, Question(question))


def strike_all(world: World) -> None:
    """The full nodes have checked everything."""
    for question in FOUR:
        world.marks[Question(question)] = _mark(
            Question(question), "witnessed", world.now, assurance="hardware"
        )


def aim(world: World) -> None:
    """The marks meet exactly what is asked at this moment, or miss it by one thing."""
    for question in Question:
        world.marks[question] = _mark(question, "absent", 0)
    needs: dict[str, list[Requirement]] = {}
    for need in (need for p in world.applying() or () for need in p.requires):
        needs.setdefault(need.question, []).append(need)
    for question, asked in needs.items():
        state = max((need.state for need in asked), key=RUNGS.__getitem__)
        age = min((need.max_age for need in asked if need.max_age), default=0)
        people = (ANN, BEN, CID)[: max(1, *(need.count for need in asked), 0)]
        detail = {"reviewers": " ".join(people)} if question == "reviewed" else {}
        assurance = "hardware" if question == "ran" else ""
        world.marks[Question(question)] = _mark(
            Question(question), state, world.now - age, assurance=assurance, detail=detail
        )
    if needs and world.rng.random() < 0.6:
        _miss(world, Question(world.rng.choice(list(needs))))


def _miss(world: World, question: Question) -> None:
    """One thing about a mark is not as it was asked for."""
    mark, rung = world.marks[question], RUNGS[world.marks[question].state.value]
    people = mark.detail.get("reviewers", "").split()
    found: dict[str, object] = {
        "since": mark.since - 1,
        "state": LADDER[rung - 1],
        "by": "someone",
        "assurance": world.rng.choice(("simulated", "")),
    }
    if people:
        instead = world.rng.choice(([], people[:1], [NODE], [ASKER]))
        found["detail"] = {"reviewers": " ".join([*people[1:], *instead])}
    name = world.rng.choice(list(found))
    world.marks[question] = msgspec.structs.replace(mark, **{name: found[name]})


def _good(world: World, question: Question) -> Mark:
    rng = world.rng
    state = rng.choice(("witnessed", "witnessed", "anchored", rng.choice(LADDER).value))
    assurance = rng.choice(("hardware", "hardware", "simulated", "")) if question is Question.RAN else ""
    by = rng.choice(("quorum", "quorum", "someone"))
    return _mark(question, state, world.now, assurance=assurance, by=by)


def contradict(world: World) -> None:
    """Something speaks against the answer."""
    question = world.rng.choice(list(Question))
    world.marks[question] = _mark(question, world.rng.choice(BAD), world.now)


def settle(world: World) -> None:
    """What spoke against the answer was refuted."""
    for question, mark in world.marks.items():
        if mark.state.value in BAD:
            world.marks[question] = (
                _good(world, question) if question.value in FOUR else _mark(question, "absent", 0)
            )


def review(world: World) -> None:
    """People judged the answer fit, some of whom do not count."""
    names = world.rng.sample(REVIEWERS, world.rng.choice((1, 2, 2, 3)))
    state = world.rng.choice(("witnessed", "witnessed", "checked"))
    detail = {"reviewers": " ".join(names)}
    world.marks[Question.REVIEWED] = _mark(Question.REVIEWED, state, world.now, detail=detail)


def change_policies(world: World) -> None:
    """The authority changes what is in force."""
    world.policies = [BASE] if world.rng.random() < 0.9 else []
    world.policies += world.rng.sample(OTHERS, world.rng.choice((0, 1, 1, 2)))
    world.rng.shuffle(world.policies)


def wait(world: World) -> None:
    """Time passes."""
    world.now += world.rng.choice((1, MINUTE, 10 * MINUTE, 10 * MINUTE + 1, 40 * MINUTE, DAY))


def nothing(_: World) -> None:
    """The gate judges again although nothing happened."""


FACTS: tuple[Callable[[World], None], ...] = (
    strike,
    strike_all,
    aim,
    aim,
    aim,
    contradict,
    settle,
    review,
    change_policies,
    change_policies,
    wait,
    wait,
    nothing,
)


def declare(world: World, item: Item) -> ev.Event:
    """Somebody says what is at stake."""
    klass, value = world.rng.choice(("", "pay", "lab")), item.value + world.rng.choice((0, 0, 20, 200))
    asker = world.rng.choice(("", "", ASKER, BEN))
    return ev.Declared(world.now, ANN, klass, value, asker)


def appeal(world: World, item: Item) -> ev.Event:
    """A party asks for another look."""
    return ev.Appealed(world.now, world.rng.choice((NODE, OWNER)), "why")


def answer(world: World, item: Item) -> ev.Event:
    """Somebody answers whatever is open."""
    return ev.AppealAnswered(world.now, world.rng.choice((ANN, CID)), world.rng.random() < 0.3, "so")


def look(world: World, item: Item) -> ev.Event:
    """Somebody looks at a sampled item."""
    return ev.SampleAnswered(world.now, CID, world.rng.random() < 0.5, "looked")


def break_glass(world: World, item: Item) -> ev.Event:
    """A named person lets it be used."""
    return ev.Released(
        world.now, ANN, "Ann", "emergency", "text", world.now + world.rng.choice((MINUTE, DAY))
    )


def reject(world: World, item: Item) -> ev.Event:
    """A reviewer ends it, or, mostly, remarks on it."""
    rejects = world.rng.random() < 0.3
    return ev.Rejected(world.now, ANN, "unfit") if rejects else ev.Commented(world.now, ANN, "hm")


ACTS: tuple[Callable[[World, Item], ev.Event], ...] = (
    declare,
    appeal,
    answer,
    answer,
    look,
    break_glass,
    reject,
)


def follow(world: World, item: Item, event: ev.Event) -> None:
    """The world's own books on what people did, by the rules."""
    if isinstance(event, ev.Declared):
        world.value = max(world.value, event.value)
        world.classes |= {event.klass} if event.klass else set()
        if event.requester and not world.askers:
            world.teller = event.by
        world.askers |= {event.requester} if event.requester else set()
    elif isinstance(event, ev.Appealed):
        world.matters += 1
        world.open[world.matters] = (item.state.value, "appeal")
    elif isinstance(event, ev.SampleAnswered) and not event.agrees and item.state is ItemState.CLEAR:
        world.matters += 1
        world.open[world.matters] = (item.state.value, "sample")
    elif isinstance(event, ev.AppealAnswered):
        against, _ = world.open.pop(min(world.open))
        if event.upheld and against in ("CLEAR", "HOLD"):
            world.contested = against == "CLEAR"
        elif event.upheld and item.state is ItemState.REJECTED:
            world.contested = False


def act(world: World, item: Item, counts: Counter[str]) -> tuple[Item, list[ev.Event]]:
    """A person does something, which is taken or refused and never clears."""
    event = world.rng.choice(ACTS)(world, item)
    try:
        after = apply(item, event)
    except Conflict as refused:
        counts[refused.reason] += 1
        return item, []
    assert after.state in (item.state, ItemState.HOLD, ItemState.REJECTED)
    if isinstance(event, ev.Released):
        assert after.state is ItemState.HOLD
        assert 0 < after.released_until - world.now <= DAY
    follow(world, item, event)
    counts[event.kind] += 1
    return after, [event]


def check(world: World, before: Item, after: Item, counts: Counter[str]) -> None:
    """The item stands where the rules say."""
    faulty = any(mark.state in FAULTY for mark in world.marks.values())
    may = world.may_be_clear()
    if after.state is ItemState.CLEAR:
        assert may
    elif after.state is ItemState.FINAL:
        assert not faulty
        assert may or before.state is ItemState.FINAL
    elif after.state is ItemState.HOLD:
        assert not may
        assert before.state is not ItemState.FINAL or faulty
        assert after.lacks
    if after.release is not None:
        assert after.state is ItemState.HOLD
    counts[f"{before.state.value}>{after.state.value}"] += 1


def live(seed: int, counts: Counter[str]) -> None:
    """One history, judged and checked after every step."""
    world = World(random.Random(seed))
    history: list[ev.Event] = [world.birth()]
    item = fold(history)
    for begin in world.rng.choice(((), (strike_all,), (change_policies, aim), (change_policies, aim))):
        begin(world)
    for _ in range(world.rng.randrange(2, 2 * STEPS + 1)):
        if world.rng.random() < 0.65:
            world.rng.choice(FACTS)(world)
        else:
            item, happened = act(world, item, counts)
            history += happened
        judged = judge(item, world.policies, world.marks, world.now)
        check(world, item, judged.after, counts)
        item, history = judged.after, [*history, *judged.events]
        counts["steps"] += 1
    assert fold(history) == item
    if seed % 20 == 0:
        chain = records(ID, history)
        assert recall(chain, chain[-1].id) == item


@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_histories_clear_only_what_meets_every_requirement(part: int) -> None:
    """CLEAR exactly when the oracle lets go, after every step; and folding the events gives the same item."""
    counts: Counter[str] = Counter()
    for seed in range(part, HISTORIES, PARTS):
        live(seed, counts)
    # The histories reach what they are about, or the test would show nothing.
    for moved in ("HOLD>HOLD", "HOLD>CLEAR", "CLEAR>CLEAR", "CLEAR>HOLD", "CLEAR>FINAL", "FINAL>HOLD"):
        assert counts[moved] > 50 // PARTS, moved
    for done in ("released", "declared", "appealed", "appeal_answered", "sample_answered", "rejected"):
        assert counts[done] > 100 // PARTS, done


def test_nothing_changes_before_the_time_that_the_gate_names() -> None:
    """Until `again`, time alone changes no outcome; where something ends then, the gate says so."""
    changed = 0
    for seed in range(400):
        world = World(random.Random(seed))
        item = fold([world.birth()])
        for step in (strike_all, review, change_policies, wait):
            step(world)
            judged = judge(item, world.policies, world.marks, world.now)
            item = judged.after
            if judged.again:
                assert judged.again > world.now
            later = judged.again - 1 if judged.again else world.now + 400 * DAY
            assert judge(item, world.policies, world.marks, later).events == ()
            if judged.again:
                changed += bool(judge(item, world.policies, world.marks, judged.again).events)
    assert changed > 50
