"""Verdicts and faults: what one full node can do, what f+1 can, and what a lying one gets for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hallmark.core.entries import Entry
from hallmark.core.marks import State
from hallmark.core.objected import Run, digest_of_runs, encode_runs
from hallmark.testing.network import LittleNetwork, key
from hallmark.verification.reasons import REASONS


def _bad_receipt(net: LittleNetwork) -> int:
    return net.add(net.receipt_entry(net.nodes[0], charged=1))


def test_one_verdict_disputes_and_two_fail() -> None:
    """With four full nodes (f = 1) one verdict makes an entry disputed and a second one failed."""
    net = LittleNetwork()
    at = _bad_receipt(net)
    net.add(net.verdict(net.full_nodes[0], at, "payment_record_absent"))
    replica = net.replica()
    assert replica.standing(at).state is State.DISPUTED
    index = net.add(net.verdict(net.full_nodes[1], at, "payment_record_absent"))
    replica.feed(index, net.leaves[index])
    assert replica.standing(at).state is State.FAILED
    assert len(replica.standing(at).by) == 2


def test_one_author_counts_once() -> None:
    """A full node that objects twice is one full node."""
    net = LittleNetwork()
    at = _bad_receipt(net)
    net.add(net.verdict(net.full_nodes[0], at, "payment_record_absent"))
    net.tick(1)
    net.add(net.verdict(net.full_nodes[0], at, "payment_record_absent"))
    assert net.replica().standing(at).state is State.DISPUTED


def test_a_refuted_verdict_does_not_count_and_faults_its_author() -> None:
    """f+1 refutations take a false verdict out of the count, and its author out of good standing."""
    net = LittleNetwork()
    at = net.add(net.receipt_entry(net.nodes[0]))
    liar = net.full_nodes[0]
    lie = net.add(net.verdict(liar, at, "bad_signature"))
    replica = net.replica()
    assert replica.standing(at).state is State.DISPUTED
    for honest in net.full_nodes[1:3]:
        due = replica.faults_due(honest.address)
        assert [(d.kind, d.first) for d in due] == [("refuted_verdict", lie)]
        index = net.add(net.fault(honest, liar.address, "refuted_verdict", lie, lie))
        replica.feed(index, net.leaves[index])
    assert replica.standing(at).state is None
    assert replica.registry.members[liar.address].faults == [net.tree.size - 1]
    assert replica.faults_due(net.full_nodes[3].address) == ()
    again = net.add(net.verdict(liar, at, "chain_broken"))
    replica.feed(again, net.leaves[again])
    assert replica.failures(again) == ("key_at_fault",)


def test_one_refutation_is_not_enough() -> None:
    """A single full node cannot take another one's verdict out of the count."""
    net = LittleNetwork()
    at = net.add(net.receipt_entry(net.nodes[0]))
    lie = net.add(net.verdict(net.full_nodes[0], at, "bad_signature"))
    fault = net.add(net.fault(net.full_nodes[1], net.full_nodes[0].address, "refuted_verdict", lie, lie))
    replica = net.replica()
    assert replica.failures(fault) == ()
    assert replica.standing(at).state is State.DISPUTED


def test_a_true_verdict_cannot_be_refuted() -> None:
    """Calling a true verdict false is itself found: the fault entry does not hold."""
    net = LittleNetwork()
    at = _bad_receipt(net)
    truth = net.add(net.verdict(net.full_nodes[0], at, "payment_record_absent"))
    index = net.add(net.fault(net.full_nodes[1], net.full_nodes[0].address, "refuted_verdict", truth, truth))
    replica = net.replica()
    assert replica.failures(index) == ("fault_unfounded",)
    assert replica.objections_due(net.full_nodes[2].address, replica.size) == (at, index)


def test_equivocation_fails_both_receipts_and_the_key() -> None:
    """Two receipts for one position: provable by anyone, and then neither counts, nor any later one."""
    net = LittleNetwork()
    node = net.nodes[0]
    first = net.add(net.receipt_entry(node, advance=False))
    second = net.add(net.receipt_entry(node))
    replica = net.replica()
    assert replica.failures(first) == ()
    assert replica.failures(second) == ("equivocation",)
    due = replica.faults_due(net.full_nodes[0].address)
    assert [(d.culprit, d.first, d.second) for d in due] == [(node.address, first, second)]
    anyone = net.nodes[1]
    net.add(net.fault(anyone, node.address, "equivocation", first, second))
    later = net.add(net.receipt_entry(node, previous=net.nodes[0].previous))
    replica = net.replica()
    assert {replica.standing(at).state for at in (first, second)} == {State.FAILED}
    assert "key_at_fault" in replica.failures(later)
    assert replica.faults_due(net.full_nodes[0].address) == ()


def test_nothing_is_due_when_enough_have_objected() -> None:
    """Once f+1 verdicts count, nobody else owes one, so a late full node does not repeat old history."""
    net = LittleNetwork()
    at = _bad_receipt(net)
    replica = net.replica()
    assert replica.objections_due(net.full_nodes[3].address, replica.size) == (at,)
    assert replica.objections_due(net.full_nodes[3].address, at) == ()
    for author in net.full_nodes[:2]:
        net.add(net.verdict(author, at, "payment_record_absent"))
    replica = net.replica()
    assert replica.objections_due(net.full_nodes[3].address, replica.size) == ()


def test_verdicts_of_a_compromised_full_node_do_not_count() -> None:
    """A verdict from or after the position that a compromise names is nobody's."""
    net = LittleNetwork()
    at = net.add(net.receipt_entry(net.nodes[0]))
    verdict = net.add(net.verdict(net.full_nodes[0], at, "bad_signature"))
    net.add(net.compromise(net.full_nodes[0], verdict))
    assert net.replica().standing(at).state is None


Wrong = Callable[[LittleNetwork], Entry]


def _verdict_by_node(net: LittleNetwork) -> Entry:
    return net.verdict(net.nodes[0], 0, "bad_signature")


def _verdict_signed_by_other(net: LittleNetwork) -> Entry:
    entry = net.verdict(net.full_nodes[0], 0, "bad_signature")
    return net.entry(entry.statement, (key("somebody"),))


def _changed_verdict(net: LittleNetwork, listed: bytes | None = None, **changes: Any) -> Entry:
    entry = net.verdict(net.full_nodes[0], 0, "bad_signature")
    attached = entry.attachments if listed is None else (listed,)
    changes = {"objected": digest_of_runs(attached[0])} | changes
    return net.entry(msgspec.structs.replace(entry.statement, **changes), (net.full_nodes[0].key,), *attached)


def _verdict_in_other_history(net: LittleNetwork) -> Entry:
    return _changed_verdict(net, root=bytes(32))


def _verdict_ahead(net: LittleNetwork) -> Entry:
    return net.verdict(net.full_nodes[0], 10_000, "bad_signature")


def _verdict_on_a_history_ahead(net: LittleNetwork) -> Entry:
    return _changed_verdict(net, size=10_000)


def _verdict_without_reason(net: LittleNetwork) -> Entry:
    return _changed_verdict(net, bytes(11) + b"\1" + bytes(32))


def _verdict_on_nothing(net: LittleNetwork) -> Entry:
    return _changed_verdict(net, b"")


def _verdict_with_attachment(net: LittleNetwork) -> Entry:
    entry = net.verdict(net.full_nodes[0], 0, "bad_signature")
    return msgspec.structs.replace(entry, attachments=(*entry.attachments, b"why"))


def _verdict_with_another_list(net: LittleNetwork) -> Entry:
    return _changed_verdict(net, encode_runs([Run(0, 1, "chain_broken")]), objected=bytes(32))


def _verdict_that_mixes(net: LittleNetwork) -> Entry:
    """What only holders of an artifact can judge stands alone."""
    return net.verdict_on(net.full_nodes[0], [Run(0, 1, "artifact_content"), Run(1, 1, "bad_signature")])


def _fault_of_unknown_kind(net: LittleNetwork) -> Entry:
    return net.fault(net.full_nodes[0], net.nodes[0].address, "rudeness", 0, 0)


def _fault_ahead(net: LittleNetwork) -> Entry:
    return net.fault(net.full_nodes[0], net.nodes[0].address, "equivocation", 0, 10_000)


def _equivocation_by_one_receipt(net: LittleNetwork) -> Entry:
    at = net.add(net.receipt_entry(net.nodes[0]))
    return net.fault(net.full_nodes[0], net.nodes[0].address, "equivocation", at, at)


def _equivocation_of_other(net: LittleNetwork) -> Entry:
    first = net.add(net.receipt_entry(net.nodes[0], advance=False))
    second = net.add(net.receipt_entry(net.nodes[0]))
    return net.fault(net.full_nodes[0], net.nodes[1].address, "equivocation", first, second)


def _refutation_by_node(net: LittleNetwork) -> Entry:
    at = net.add(net.receipt_entry(net.nodes[0]))
    lie = net.add(net.verdict(net.full_nodes[0], at, "bad_signature"))
    return net.fault(net.nodes[1], net.full_nodes[0].address, "refuted_verdict", lie, lie)


def _refutation_of_no_verdict(net: LittleNetwork) -> Entry:
    return net.fault(net.full_nodes[1], net.full_nodes[0].address, "refuted_verdict", 0, 0)


WRONG: dict[str, tuple[str, Wrong]] = {
    "verdict by a node": ("author_not_full_node", _verdict_by_node),
    "verdict signed by another": ("bad_signature", _verdict_signed_by_other),
    "verdict in another history": ("subject_mismatch", _verdict_in_other_history),
    "verdict ahead": ("subject_in_future", _verdict_ahead),
    "verdict on a history ahead": ("subject_in_future", _verdict_on_a_history_ahead),
    "verdict without reason": ("objected_malformed", _verdict_without_reason),
    "verdict on nothing": ("objected_malformed", _verdict_on_nothing),
    "verdict with another list": ("document_mismatch", _verdict_with_another_list),
    "verdict that mixes": ("objected_malformed", _verdict_that_mixes),
    "verdict with attachment": ("attachments_malformed", _verdict_with_attachment),
    "fault of unknown kind": ("fault_kind_unknown", _fault_of_unknown_kind),
    "fault ahead": ("subject_in_future", _fault_ahead),
    "one receipt": ("fault_unfounded", _equivocation_by_one_receipt),
    "equivocation of another": ("fault_unfounded", _equivocation_of_other),
    "refutation by a node": ("author_not_full_node", _refutation_by_node),
    "refutation of no verdict": ("fault_unfounded", _refutation_of_no_verdict),
}


@pytest.mark.parametrize("name", WRONG)
def test_unfounded_disputes_are_refused(name: str) -> None:
    """A verdict or fault that is not what it must be fails by its reason and counts for nothing."""
    reason, wrong = WRONG[name]
    net = LittleNetwork()
    index = net.add(wrong(net))
    replica = net.replica()
    assert reason in replica.failures(index)
    assert reason in REASONS
    assert replica.standing(0).state is None
    assert not any(member.faults for member in replica.registry.members.values())
