"""Reviews: who may say what of an answer, and what follows for the mark `reviewed`."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import pytest

from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Mark, Question, State, derive_marks
from hallmark.core.statements import Judgement
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.live import Inclusion, live_findings
from hallmark.verification.offline import verify_dossier

FIT, UNFIT, UNDECIDED = Judgement.FIT, Judgement.UNFIT, Judgement.UNDECIDED


class Scene:
    """A network with registered reviewers and one logged answer."""

    def __init__(self) -> None:
        self.net = LittleNetwork()
        for reviewer in self.net.reviewers:
            self.net.register(reviewer)
        self.answer = self.net.answer(self.net.nodes[0])
        self.subject = self.net.add(self.answer.entry)

    def review(self, number: int, judgement: Judgement, **changes: Any) -> int:
        return self.net.add(self.net.review(self.net.reviewers[number], self.subject, judgement, **changes))

    def live(self, covered: int | None = None) -> Mark:
        replica = self.net.replica()
        size = replica.size if covered is None else covered
        inclusion = Inclusion(size, self.net.tree.root(size), ("a", "b", "c"), 4, self.net.now)
        found = live_findings(
            replica, self.subject, self.answer.entry, inclusion, by="the desk", now=self.net.now
        )
        return derive_marks(found)[Question.REVIEWED]

    def offline(self, *reviews: int) -> Mark:
        notary = Notary(self.net)
        dossier = notary.dossier(self.answer, self.subject, reviews=reviews)
        trust = notary.trust()
        return verify_dossier(
            dossier,
            trust,
            self.net.now,
            verify_evidence=verify_stub_evidence,
            verify_proof=proof_verifier(trust),
        ).marks[Question.REVIEWED]


@pytest.fixture
def scene() -> Scene:
    """A fresh scene."""
    return Scene()


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        ((), State.ABSENT, ""),
        (((0, FIT),), State.WITNESSED, ""),
        (((0, FIT), (1, FIT)), State.WITNESSED, ""),
        (((0, UNFIT),), State.FAILED, "judged_unfit"),
        (((0, FIT), (1, UNFIT)), State.DISPUTED, "reviewers_disagree"),
        (((0, FIT), (0, UNDECIDED)), State.ABSENT, ""),
        (((0, UNFIT), (0, FIT)), State.WITNESSED, ""),
        (((0, UNFIT), (1, FIT), (0, UNDECIDED)), State.WITNESSED, ""),
    ],
)
def test_what_follows_from_reviews(
    scene: Scene, said: tuple[tuple[int, Judgement], ...], state: State, reason: str
) -> None:
    """The newest review of each reviewer counts, and both views of the same log agree on the state."""
    placed = [scene.review(number, judgement) for number, judgement in said]
    live, offline = scene.live(), scene.offline(*placed)
    assert (live.state, live.reason) == (offline.state, offline.reason) == (state, reason)


def test_review_is_witnessed_only_below_the_checkpoint(scene: Scene) -> None:
    """A review that no quorum has covered yet is checked, and counts no reviewer as witnessed."""
    first = scene.review(0, FIT)
    scene.review(1, FIT)
    mark = scene.live(covered=first + 1)
    assert mark.state is State.WITNESSED
    assert mark.detail["reviewers"].split() == ["0x" + scene.net.reviewers[0].address.hex()]
    assert scene.live(covered=first).state is State.CHECKED


def test_a_review_is_witnessed_not_before_it_was_admitted(scene: Scene) -> None:
    """Neither view dates the mark before the log took the review, though the cosignature's second is."""
    scene.net.tick(882)
    at = scene.review(0, FIT)
    assert scene.offline(at).since == scene.net.now
    replica = scene.net.replica()
    early = Inclusion(replica.size, replica.root(), ("a", "b", "c"), 4, scene.net.now - 882)
    found = live_findings(replica, scene.subject, scene.answer.entry, early, by="x", now=scene.net.now)
    assert derive_marks(found)[Question.REVIEWED].since == scene.net.now


def test_no_review_touches_another_mark(scene: Scene) -> None:
    """With or without a review, and whatever it says, the six other marks are the same."""
    replica = functools.partial(live_findings, by="x", now=scene.net.now)
    before = derive_marks(replica(scene.net.replica(), scene.subject, scene.answer.entry, None))
    scene.review(0, UNFIT)
    after = derive_marks(replica(scene.net.replica(), scene.subject, scene.answer.entry, None))
    # how far the log was read is told by `proved`, and moves with every entry
    same = [q for q in Question if q not in (Question.REVIEWED, Question.PROVED)]
    assert {q: before[q] for q in same} == {q: after[q] for q in same}
    assert before[Question.PROVED].state is after[Question.PROVED].state


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"item": b"\x07" * 32}, "review_subject"),
        ({"subject": 3}, "review_subject"),
        ({"judgement": 9}, "judgement_unknown"),
        ({"network": b"\x07" * 32}, "wrong_network"),
        ({"reviewer": b"\x07" * 20}, "bad_signature"),
    ],
)
def test_bad_reviews_are_rejected(scene: Scene, changes: dict[str, Any], reason: str) -> None:
    """A review of something else, or with an unknown judgement, changes nothing and says why."""
    entry = scene.net.review(scene.net.reviewers[0], scene.subject, FIT, **changes)
    index = scene.net.add(entry)
    assert reason in scene.net.replica().failures(index)
    assert scene.live().state is State.ABSENT
    assert scene.offline(index).state is State.FAILED


def _enrolled(scene: Scene, party: Party) -> int:
    """A reviewer whose key is a party's own."""
    scene.net.add(scene.net.registration(party))
    return scene.net.add(scene.net.review(party, scene.subject))


def test_strangers_do_not_review(scene: Scene) -> None:
    """A key that is not registered as a reviewer does not count."""
    stranger = Party("stranger", scene.net.reviewers[0].role)
    index = scene.net.add(scene.net.review(stranger, scene.subject))
    assert scene.net.replica().failures(index) == ("reviewer_not_registered",)
    assert scene.offline(index).reason == "reviewer_not_registered"


def test_executors_do_not_review_themselves(scene: Scene) -> None:
    """The owner of the node that answered cannot judge the answer, even as a registered reviewer."""
    judge = Party("judge", scene.net.reviewers[0].role)
    judge.key = scene.net.nodes[0].owner
    index = _enrolled(scene, judge)
    assert scene.net.replica().failures(index) == ("reviewer_is_executor",)
    assert scene.live().state is State.ABSENT


def test_receipt_key_cannot_become_a_reviewer(scene: Scene) -> None:
    """A key keeps its role: a node's key is never registered as a reviewer."""
    judge = Party("judge", scene.net.reviewers[0].role)
    judge.key = scene.net.nodes[0].key
    index = scene.net.add(scene.net.registration(judge))
    assert "role_changed" in scene.net.replica().failures(index)


def test_review_of_another_receipt_does_not_hold_offline(scene: Scene) -> None:
    """A review that was moved to another receipt's dossier makes its mark fail."""
    other = scene.net.answer(scene.net.nodes[1])
    subject = scene.net.add(other.entry)
    index = scene.net.add(scene.net.review(scene.net.reviewers[0], subject))
    mark = scene.offline(index)
    assert (mark.state, mark.reason) == (State.FAILED, "review_subject")


def test_unsigned_change_of_a_review_is_seen(scene: Scene) -> None:
    """Changing what was judged after signing breaks the signature."""
    entry = scene.net.review(scene.net.reviewers[0], scene.subject, UNFIT)
    changed = msgspec.structs.replace(
        entry, statement=msgspec.structs.replace(entry.statement, judgement=FIT, comment=ZERO32)
    )
    index = scene.net.add(changed)
    assert scene.net.replica().failures(index) == ("bad_signature",)
    assert scene.offline(index).state is State.FAILED
