"""The replica as a whole: same leaves, same meaning; and what only a misbehaving log can do."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.entries import Entry, leaf
from hallmark.testing.network import LittleNetwork
from hallmark.verification.fold import LogMisbehaviour, Replica


def _busy_network() -> LittleNetwork:
    net = LittleNetwork()
    for _ in range(3):
        net.add(net.receipt_entry(net.nodes[0]))
        net.add(net.receipt_entry(net.nodes[1], direct=True))
        net.tick(10)
    bad = net.add(net.receipt_entry(net.nodes[0], charged=1))
    net.add(net.verdict(net.full_nodes[0], bad, "payment_not_supported"))
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
