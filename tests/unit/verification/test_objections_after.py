"""The leaves between a receipt and its checkpoint's end: they prove themselves, and show every objection."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from hallmark.core.marks import Question, State
from hallmark.core.merkle import inclusion_proof, leaf_hash
from hallmark.core.policy import Outcome
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Dossier
from hallmark.verification.genesis import ProvenPlace
from hallmark.verification.objections_after import completes
from hallmark.verification.offline import Verified, verify_dossier
from hallmark.verification.tree import Tree


def test_only_all_the_leaves_behind_complete_the_checkpoint() -> None:
    """At every size and index: the true leaves complete it; one less, one more or another one does not."""
    leaves = [bytes((i,)) * 9 for i in range(21)]
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    for size in range(1, len(leaves) + 1):
        for index in range(size):
            place = ProvenPlace(index, size, tree.root(size), (), (), 0)
            path = inclusion_proof(index, size, tree.node)
            after = leaves[index + 1 : size]
            assert completes(place, path, leaves[index], after)
            assert not completes(place, path, leaves[index], [*after, b"more"])
            assert not completes(place, path, b"another", after)
            if after:
                assert not completes(place, path, leaves[index], after[1:])
                assert not completes(place, path, leaves[index], [*after[:-1], b"another"])


class Case:
    """A logged answer with what followed, saved with the leaves behind it."""

    def __init__(self) -> None:
        self.net = LittleNetwork()
        self.answer = self.net.answer(self.net.nodes[0])
        self.index = self.net.add(self.answer.entry)

    def saved(self, **changes: Any) -> Dossier:
        """The dossier with its `after`; `changes` replace members of its entry."""
        dossier = Notary(self.net).dossier(self.answer, self.index)
        after = tuple(base64.b64encode(leaf).decode() for leaf in self.net.leaves[self.index + 1 :])
        assert dossier.entry is not None
        entry = msgspec.structs.replace(dossier.entry, **({"after": after} | changes))
        return msgspec.structs.replace(dossier, entry=entry)

    def verify(self, dossier: Dossier | None = None) -> Verified:
        """Verify it offline."""
        trust = Notary(self.net).trust()
        return verify_dossier(
            Dossier.parse((dossier or self.saved()).encode()),
            trust,
            self.net.now,
            verify_evidence=verify_stub_evidence,
            verify_proof=proof_verifier(trust),
        )


def test_silence_is_shown() -> None:
    """With the leaves behind it, a receipt shows that nobody objected before cosigning."""
    case = Case()
    for _ in range(3):
        case.net.add(case.net.receipt_entry(case.net.nodes[1]))
    verified = case.verify()
    assert verified.decide("witnessed").outcome is Outcome.CLEAR
    assert "none of the 3 entries logged behind it" in verified.marks[Question.PROVED].shows
    assert "does not rule out" in case.verify(case.saved(after=None)).marks[Question.PROVED].shows


@pytest.mark.parametrize(("count", "state"), [(1, State.DISPUTED), (2, State.FAILED)])
def test_objections_are_found_offline(count: int, state: State) -> None:
    """Verdicts of full nodes behind the receipt dispute it, f+1 make it failed, on their mark and on
    `proved`.
    """
    case = Case()
    for author in case.net.full_nodes[:count]:
        case.net.add(case.net.verdict(author, case.index, "artifact_mismatch"))
    verified = case.verify()
    assert verified.marks[Question.PROVED].state is state
    assert verified.marks[Question.MODEL].state is state
    assert verified.decide("witnessed").outcome is Outcome.HOLD


def test_refuted_verdicts_and_strangers_do_not_count() -> None:
    """A verdict that f+1 full nodes refute, and one by somebody who is none, hold nothing against a
    receipt.
    """
    case = Case()
    net, liar = case.net, case.net.full_nodes[0]
    lie = net.add(net.verdict(liar, case.index, "bad_signature"))
    net.add(net.verdict(net.nodes[1], case.index, "bad_signature"))
    assert case.verify().marks[Question.PROVED].state is State.DISPUTED
    for honest in net.full_nodes[1:3]:
        net.add(net.fault(honest, liar.address, "refuted_verdict", lie, lie))
    assert case.verify().decide("witnessed").outcome is Outcome.CLEAR


def test_equivocation_is_found_offline() -> None:
    """A full node's fault that names the receipt speaks against it."""
    case = Case()
    net = case.net
    second = net.add(net.receipt_entry(net.nodes[0], sequence=0, previous=bytes(32)))
    net.add(net.fault(net.full_nodes[0], net.nodes[0].address, "equivocation", case.index, second))
    mark = case.verify().marks[Question.PROVED]
    assert (mark.state, mark.reason) == (State.DISPUTED, "equivocation")


def test_hiding_a_verdict_fails() -> None:
    """Leaving out, replacing or adding a leaf behind the receipt fails `proved`."""
    case = Case()
    case.net.add(case.net.receipt_entry(case.net.nodes[1]))
    case.net.add(case.net.verdict(case.net.full_nodes[0], case.index, "bad_signature"))
    after = case.saved().entry
    assert after is not None
    assert after.after is not None
    for wrong in (after.after[:1], (*after.after, after.after[0]), after.after[::-1], ()):
        mark = case.verify(case.saved(after=wrong)).marks[Question.PROVED]
        assert (mark.state, mark.reason) == (State.FAILED, "after_mismatch")


def test_leaves_belong_to_the_receipts_entry_alone() -> None:
    """Beside another entry, leaves would be text that nobody checks: they are refused. Without the proof that
    they would be compared by, nothing contradicts and nothing is proven, and the mark says so.
    """
    case = Case()
    dossier = case.saved()
    assert dossier.registration is not None
    extra = msgspec.structs.replace(dossier.registration, after=())
    verified = case.verify(msgspec.structs.replace(dossier, registration=extra))
    assert verified.marks[Question.RAN].reason == "registration_mismatch"
    unproven = case.verify(case.saved(proof=None))
    mark = unproven.marks[Question.PROVED]
    assert (mark.state, mark.reason) == (State.ABSENT, "")
    assert "came without the proof" in mark.shows
