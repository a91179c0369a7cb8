"""Marks as somebody who follows the log sees them."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from msgspec.structs import replace

from hallmark.core.marks import Mark, Question, State, derive_marks
from hallmark.core.receipt import Mode
from hallmark.core.statements import Role
from hallmark.testing.answers import Answer
from hallmark.testing.network import LittleNetwork, Party
from hallmark.verification import wording
from hallmark.verification.live import Inclusion, live_findings


class Viewer:
    """A logged answer and a view of it."""

    def __init__(self, *, format_: str = "onnx", confined: Mode = Mode.TEE, **answer: Any) -> None:
        self.net = LittleNetwork(found=False)
        self.net.manifest = replace(self.net.manifest, format=format_)
        self.net.found()
        node = self.net.nodes[0]
        if confined != Mode.TEE:
            node = Party("another", Role.NODE)
            node.bundle = self.net.bundle(node, confined)
            self.net.register(node)
        self.answer: Answer = self.net.answer(node, **answer)
        self.index = self.net.add(self.answer.entry)

    def marks(
        self, *, cosigned: bool = True, shown: bool = True, anchored: bool = False
    ) -> dict[Question, Mark]:
        """The marks now."""
        net, configuration = self.net, self.net.nodes[0].configuration
        assert configuration is not None
        size = net.tree.size if anchored else 0
        inclusion = Inclusion(net.tree.size, net.tree.root(), ("a", "b", "c"), 4, net.now, size, net.now, 2)
        return derive_marks(
            live_findings(
                net.replica(),
                self.index,
                self.answer.entry,
                inclusion if cosigned else None,
                by="this gateway",
                now=net.now,
                configuration=configuration.encode() if shown else b"",
            )
        )


def _states(marks: dict[Question, Mark]) -> list[str]:
    return [marks[q].state.value for q in (Question.RAN, Question.MODEL, Question.ROUTE, Question.PROVED)]


def test_marks_rise_with_the_log() -> None:
    """Checked by the viewer alone, then witnessed under a quorum, then anchored as far as the chain was
    read.
    """
    viewer = Viewer()
    assert _states(viewer.marks(cosigned=False)) == ["checked"] * 4
    assert _states(viewer.marks()) == ["witnessed"] * 4
    assert _states(viewer.marks(anchored=True)) == ["witnessed"] * 3 + ["anchored"]
    assert "no objection stands" in viewer.marks()[Question.PROVED].shows
    assert "full nodes checked its papers" in viewer.marks()[Question.PROVED].shows
    alone = viewer.marks(cosigned=False)[Question.PROVED].shows
    assert "full nodes" not in alone
    assert "its papers were checked and the model was not run again" in alone


def test_a_trace_that_no_full_node_saw_is_not_promised() -> None:
    """Parameters are the owner's: that a receipt of mode replay names a trace was not compared here."""
    ran = Viewer(format_="integer-exact", mode=Mode.REPLAY).marks()[Question.RAN]
    assert ran.state is State.WITNESSED
    assert wording.MODE_NOT_COMPARED in ran.shows
    assert "ran this in an enclave of node" in ran.shows


def test_a_replay_receipt_names_no_enclave_where_its_node_has_none() -> None:
    """What confines a node is its bundle's to say, and not the receipt's mode."""
    viewer = Viewer(format_="integer-exact", confined=Mode.VANILLA, mode=Mode.REPLAY)
    shows = viewer.marks(shown=False)[Question.RAN].shows
    assert "without an enclave" in shows
    assert "nobody did so here" in shows


def test_witnessed_is_never_dated_before_what_it_covers() -> None:
    """Cosignatures carry whole seconds, which may lie before the entry's own admission."""
    viewer = Viewer()
    net, configuration = viewer.net, viewer.net.nodes[0].configuration
    assert configuration is not None
    inclusion = Inclusion(net.tree.size, net.tree.root(), ("a", "b", "c"), 4, net.now)
    find = functools.partial(live_findings, by="x", now=net.now, configuration=configuration.encode())
    for apart in (-882, 0, 5_000):
        at = net.now + apart
        witnessed = [
            f.at
            for f in find(net.replica(), viewer.index, viewer.answer.entry, replace(inclusion, at=at))
            if f.state is State.WITNESSED
        ]
        assert len(witnessed) > 1
        assert set(witnessed) == {max(at, net.now)}


def test_an_unshown_configuration_is_not_a_pass() -> None:
    """Whoever does not know the configuration cannot say that nothing was switched off."""
    assert _states(Viewer().marks(shown=False)) == ["claimed"] * 3 + ["witnessed"]


def test_own_checks_fail_the_mark_that_they_speak_against() -> None:
    """A receipt that the viewer's own replica finds wrong is failed, whatever a quorum cosigned."""
    marks = Viewer(charged=1).marks()
    assert (marks[Question.PAID].state, marks[Question.PAID].reason) == (
        State.FAILED,
        "payment_record_absent",
    )


@pytest.mark.parametrize(("count", "state"), [(1, State.DISPUTED), (2, State.FAILED)])
def test_objections_show_on_their_mark_and_on_proved(count: int, state: State) -> None:
    """One full node's verdict disputes, two fail, on the mark of the reason and on `proved`."""
    viewer = Viewer()
    for author in viewer.net.full_nodes[:count]:
        viewer.net.add(viewer.net.verdict(author, viewer.index, "artifact_mismatch"))
    marks = viewer.marks()
    assert marks[Question.MODEL].state is marks[Question.PROVED].state is state
    assert marks[Question.ROUTE].state is State.WITNESSED


def test_later_compromise_and_revocation_show() -> None:
    """A key compromised since before the receipt revokes what rests on it, a revoked image revokes `ran`."""
    viewer = Viewer()
    viewer.net.add(viewer.net.revocation(viewer.net.measurement, viewer.index))
    assert viewer.marks()[Question.RAN].state is State.REVOKED
    assert viewer.marks()[Question.MODEL].state is State.WITNESSED
    viewer.net.add(viewer.net.compromise(viewer.net.nodes[0], viewer.index))
    assert _states(viewer.marks()) == ["revoked"] * 4


def test_retirement_changes_nothing() -> None:
    """Leaving in good standing leaves old receipts as they were."""
    viewer = Viewer()
    viewer.net.add(viewer.net.retirement(viewer.net.nodes[0]))
    assert _states(viewer.marks()) == ["witnessed"] * 4


def test_both_receipts_of_an_equivocation_are_failed() -> None:
    """Once the fault is logged, neither receipt can be believed."""
    viewer = Viewer(advance=False)
    net = viewer.net
    second = net.add(net.receipt_entry(net.nodes[0]))
    net.add(net.fault(net.full_nodes[0], net.nodes[0].address, "equivocation", viewer.index, second))
    mark = viewer.marks()[Question.PROVED]
    assert (mark.state, mark.reason) == (State.FAILED, "equivocation")


def test_a_receipt_is_told_in_its_own_mode_alone() -> None:
    """What confines the node is told without the name of a mode that the receipt does not have."""
    replay = Viewer(format_="integer-exact", mode=Mode.REPLAY).marks()[Question.RAN].shows
    assert "an enclave of node" in replay
    assert "mode tee" not in replay
    assert "mode replay" in replay
    assert "mode tee" in Viewer().marks()[Question.RAN].shows
