"""Whom a paid request may go to: only who is paid, the same node again, and no copy to another."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.hashing import sha256
from hallmark.core.registry import Registry
from hallmark.routing.eligibility import Eligibility, NoNode, NoNodeForPayee, Wanted, eligibility
from hallmark.routing.load import LoadTable
from hallmark.routing.payees import PayersNodes, Paying
from hallmark.testing.network import LittleNetwork

PAYEE, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20
PAYER = "0x" + "cc" * 20


def paying(number: int = 0, payee: str = PAYEE) -> Paying:
    """The payment with this number."""
    return Paying(PAYER, payee, sha256(bytes([number])))


class Scene:
    """Four nodes, the first three of one payee."""

    def __init__(self) -> None:
        self.net = LittleNetwork(nodes=4)
        self.registry: Registry = self.net.replica().registry
        self.keys = [node.address for node in self.net.nodes]
        for number, key in enumerate(self.keys):
            member = self.registry.members[key]
            assert member.bundle is not None
            payee = PAYEE if number < 3 else OTHER
            member.bundle = msgspec.structs.replace(member.bundle, payment=payee)
        self.loads = LoadTable()
        self.payers = PayersNodes()

    def found(self, one: Paying, model: str = "digits") -> Eligibility:
        """Who may serve it now."""
        judged = eligibility(self.registry, Wanted(model), self.loads.loads, now=self.net.now)
        return self.payers.may_serve(judged, self.registry, one)

    def served(self, one: Paying) -> set[bytes]:
        """The keys of those who may."""
        return {node.node for node in self.found(one).eligible}


def test_only_nodes_that_the_payment_pays_may_serve() -> None:
    """The others are left out with a reason that stands in the ticket; both lists stay in order."""
    scene = Scene()
    found = scene.found(paying())
    assert {node.node for node in found.eligible} == set(scene.keys[:3])
    assert [(e.node, e.reason) for e in found.excluded] == [(hex0x(scene.keys[3]), "other_payee")]


def test_a_payment_for_one_enclave_goes_to_no_other() -> None:
    """Of the payee's nodes the one whose settlement key the payment names, and none when it is gone."""
    scene = Scene()
    member = scene.registry.members[scene.keys[1]]
    assert member.bundle is not None
    member.bundle = msgspec.structs.replace(member.bundle, settlement=OTHER)
    assert scene.served(msgspec.structs.replace(paying(), enclave=OTHER)) == {scene.keys[1]}
    gone = msgspec.structs.replace(paying(), enclave="0x" + "dd" * 20)
    with pytest.raises(NoNodeForPayee):
        scene.found(gone).require()


def test_nobody_to_pay_is_told_apart_from_nobody_free() -> None:
    """A payee without a node for the model is 402 and final; one whose nodes are busy is 503 and passes."""
    scene = Scene()
    with pytest.raises(NoNodeForPayee) as nobody:
        scene.found(paying(payee="0x" + "dd" * 20)).require()
    assert (nobody.value.reason, nobody.value.status, nobody.value.retry) == ("no_node_for_payee", 402, False)
    scene.loads.of(scene.keys[3]).in_flight = 99
    with pytest.raises(NoNode, match=r"1 at_capacity, 3 other_payee") as busy:
        scene.found(paying(payee=OTHER)).require()
    assert (busy.value.status, busy.value.busy) == (503, True)


def test_an_authorization_stays_with_its_first_node() -> None:
    """Copies go nowhere else, not even when that node is full, until it says that it did not begin."""
    scene = Scene()
    one, first, second = paying(), scene.keys[0], scene.keys[1]
    assert scene.payers.take(one, first)
    assert scene.served(one) == {first}
    assert not scene.payers.take(one, second)
    scene.loads.of(first).in_flight = 99
    with pytest.raises(NoNode, match="payment_elsewhere") as caught:
        scene.found(one).require()
    assert caught.value.retry
    scene.payers.release(one)
    assert scene.payers.take(one, second)


def test_the_node_that_served_a_payer_leads() -> None:
    """New payments of the payer go to the node with its lease, wherever the draw put it."""
    scene = Scene()
    scene.payers.take(paying(1), scene.keys[2])
    eligible = scene.found(paying(2)).eligible
    drawn = [node for node in eligible if node.node != scene.keys[2]]
    order = scene.payers.lead(drawn, eligible, paying(2))
    assert [node.node for node in order] == [scene.keys[2], *(node.node for node in drawn)]
    other = Paying("0x" + "ee" * 20, PAYEE, sha256(b"other"))
    assert scene.payers.lead(drawn, eligible, other) == tuple(drawn)


def test_both_memories_are_bounded() -> None:
    """The oldest is forgotten, however many authorizations and payers come."""
    payers = PayersNodes(remembered=8)
    for number in range(100):
        assert payers.take(Paying(f"0x{number:040x}", PAYEE, sha256(bytes([number]))), b"\1" * 20)
    assert (len(payers._held), len(payers._last)) == (8, 8)
