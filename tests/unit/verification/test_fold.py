"""The replica as a whole: same leaves, same meaning; and what only a misbehaving log can do."""

from __future__ import annotations

import copy
import sys
from types import FrameType

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry, leaf
from hallmark.testing.network import LittleNetwork
from hallmark.testing.payments import offer, paid_receipt, price_offer
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification import fold, transitions
from hallmark.verification.fold import LogMisbehaviour, Replica
from hallmark.verification.outcome import JUDGING_FAILED


def _busy_network() -> LittleNetwork:
    net = LittleNetwork()
    for _ in range(3):
        net.add(net.receipt_entry(net.nodes[0]))
        net.add(net.receipt_entry(net.nodes[1], direct=True))
        net.tick(10)
    bad = net.add(net.receipt_entry(net.nodes[0], charged=1))
    net.add(net.verdict(net.full_nodes[0], bad, "payment_record_absent"))
    return net


def test_two_replicas_agree() -> None:
    """Fed the same leaves, two replicas have the same registry, failures and root."""
    net = _busy_network()
    one, two = net.replica(), net.replica()
    assert one.registry == two.registry
    assert one.judgements.failed == two.judgements.failed
    assert one.root() == two.root() == net.tree.root()


def misbehaving(net: LittleNetwork, name: str) -> bytes:
    """A leaf that an honest log would never append now."""
    entry = net.receipt_entry(net.nodes[0])
    if name == "log_undecodable_leaf":
        return leaf(net.now, b"\x01\x63nothing")
    if name == "log_time_reversed":
        return leaf(net.now - 1, entry.encode())
    if name == "log_duplicate_entry":
        return leaf(net.now, net.entry_bytes(3))
    return leaf(net.now, net.receipt_entry(net.nodes[0]).encode())


@pytest.mark.parametrize(
    "name", ["log_undecodable_leaf", "log_time_reversed", "log_duplicate_entry", "log_predecessor_absent"]
)
def test_misbehaviour_of_the_log_stops_the_fold(name: str) -> None:
    """What only the log can do raises, names the position, and leaves the replica where it was."""
    net = LittleNetwork()
    replica = net.replica()
    before = replica.root()
    with pytest.raises(LogMisbehaviour) as caught:
        replica.feed(replica.size, misbehaving(net, name))
    assert caught.value.reason == name
    assert caught.value.index == replica.size
    assert replica.root() == before


def test_leaves_are_fed_in_order() -> None:
    """Feeding another position than the next is a bug of the caller, not a verdict."""
    net = LittleNetwork()
    replica = net.replica()
    with pytest.raises(ValueError, match="replica of size"):
        replica.feed(0, net.leaves[0])


def test_a_forged_receipt_touches_no_chain() -> None:
    """A receipt that its node did not sign takes no place in that node's chain."""
    net = LittleNetwork()
    entry = net.receipt_entry(net.nodes[0], advance=False)
    forged = net.add(net.entry(entry.statement, (net.nodes[1].key,), *entry.attachments))
    honest = net.add(net.receipt_entry(net.nodes[0]))
    replica = net.replica()
    assert "bad_signature" in replica.failures(forged)
    assert replica.failures(honest) == ()


def test_an_empty_network_judges_receipts_by_what_is_not_there() -> None:
    """Before anything is registered a receipt fails for want of a node, a manifest, a gateway."""
    net = LittleNetwork()
    entry: Entry = net.receipt_entry(net.nodes[0], beacon_size=0)
    bare = LittleNetwork(found=False)
    index = bare.add(entry)
    replica: Replica = bare.replica()
    assert {"node_not_registered", "manifest_unknown", "gateway_not_registered"} <= set(
        replica.failures(index)
    )


def test_member_documents_are_the_registered_ones() -> None:
    """The registry holds profiles and bundles exactly as they were registered."""
    net = LittleNetwork()
    members = net.replica().registry.members
    for party in (*net.full_nodes, net.gateway):
        assert members[party.address].profile == net.profile(party)
    for node in net.nodes:
        assert members[node.address].bundle == node.bundle
        assert msgspec.json.encode(members[node.address].bundle) == (node.bundle and node.bundle.encode())


def _every_kind() -> tuple[LittleNetwork, int]:
    """A network that goes on to log one good entry of every kind, and how many leaves came before."""
    net = LittleNetwork()
    net.register(net.reviewers[0])
    before = net.tree.size
    good = net.add(net.receipt_entry(net.nodes[0]))
    bad = net.add(net.receipt_entry(net.nodes[0], charged=1))
    net.add(net.review(net.reviewers[0], good))
    net.add(net.verdict(net.full_nodes[0], bad, "payment_record_absent"))
    lie = net.add(net.verdict(net.full_nodes[1], good, "bad_signature"))
    for author in (net.full_nodes[0], net.full_nodes[2]):
        net.add(net.fault(author, net.full_nodes[1].address, "refuted_verdict", lie, lie))
    manifest = net.make_manifest("2", b"artifact 2", derived_from=hex0x(net.manifest.digest()))
    net.add(net.version(manifest))
    net.register(net.nodes[1])
    other = msgspec.structs.replace(net.measurement, version="2")
    net.add(net.approval(other))
    net.add(net.revocation(other, net.tree.size))
    terms = offer(net)
    net.add(price_offer(net, terms))
    net.add(paid_receipt(net, terms))
    net.add(net.policy_entry("attestation", msgspec.structs.replace(net.attestation, version=2)))
    net.add(net.publication(msgspec.structs.replace(net.card, label="letters")))
    net.add(net.retirement(net.nodes[1]))
    net.add(net.compromise(net.nodes[0], 3))
    return net, before


def test_an_entry_is_applied_whole_or_not_at_all() -> None:
    """Whichever call out of a transition raises, the registry is as before, and the entry does not hold."""
    net, before = _every_kind()
    sound = Replica(net.genesis, verify_stub_evidence)
    broken = 0
    for index, data in enumerate(net.leaves):
        number = 0
        while index >= before:
            trial, number = copy.deepcopy(sound), number + 1
            met = _raise_at(number, trial, data)
            if not met:
                break
            broken += 1
            assert JUDGING_FAILED in trial.failures(index)
            assert trial.size == index + 1
            kept, seen = copy.deepcopy(sound.registry), trial.registry.seen
            kept.size, kept.seen, kept.last_admitted = index + 1, seen, trial.admitted(index)
            assert trial.registry == kept
        sound.feed(index, data)
    assert broken > 10
    assert sound.bugs == 0


def _raise_at(number: int, replica: Replica, data: bytes) -> bool:
    """Feed with the call of that number out of `transitions` raising; False when there were fewer."""
    calls = 0

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        caller = frame.f_back
        if event != "call" or caller is None or caller.f_code.co_filename != transitions.__file__:
            return
        if frame.f_code.co_filename != transitions.__file__:
            calls += 1
            if calls == number:
                raise LookupError

    sys.setprofile(watch)
    try:
        replica.feed(replica.size, data)
    finally:
        sys.setprofile(None)
    return calls >= number


def test_a_receipt_that_cannot_be_placed_accuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where judging a receipt stops at its beginning, the log is not blamed for the one that follows it."""
    net = LittleNetwork()
    replica = net.replica()
    first, second = (net.add(net.receipt_entry(net.nodes[0])) for _ in range(2))

    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            raise TypeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(fold, "JudgedReceipt", Broken)
        assert [check.reason for check in replica.feed(first, net.leaves[first])] == [JUDGING_FAILED]
    assert replica.feed(second, net.leaves[second])
    assert (replica.bugs, replica.size) == (1, net.tree.size)


def test_a_leaf_that_stops_the_decoder_is_an_entry_that_does_not_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even reading an entry has its last resort; the root goes on as the log's."""
    net = LittleNetwork()
    replica = net.replica()
    at = net.add(net.receipt_entry(net.nodes[0]))

    def stop(_: bytes) -> Entry:
        raise OverflowError

    with monkeypatch.context() as patched:
        patched.setattr(fold, "decode", stop)
        replica.feed(at, net.leaves[at])
    assert replica.failures(at) == (JUDGING_FAILED,)
    assert replica.root() == net.tree.root()
    assert replica.admitted(at) == net.now
