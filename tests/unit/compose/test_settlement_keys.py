"""The authority registers a settlement key only when evidence binds it; each way in which it could be made to
sign for another one is refused with a reason of its own.
"""

from __future__ import annotations

import msgspec
import pytest

from hallmark.compose.settlement_keys import SettlementKey, objectors, verify_settlement_key
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.core.receipt import Mode
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import SETTLEMENT, LittleNetwork, Party, key
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.trust import CompromisedKey, RevokedMeasurement, Trust


@pytest.fixture
def net() -> LittleNetwork:
    """A network whose nodes name a settlement key."""
    return LittleNetwork()


def judged(
    net: LittleNetwork, index: int, party: Party | None = None, trust: Trust | None = None
) -> SettlementKey | None:
    """What the authority makes of the entry at `index`."""
    party = party or net.nodes[0]
    return verify_settlement_key(
        trust or Notary(net).trust(),
        net.leaves[index],
        index,
        node=party.address,
        owner=party.owner.address,
        judge=verify_stub_evidence,
    )


def refused(net: LittleNetwork, index: int, party: Party | None = None, trust: Trust | None = None) -> str:
    """The reason with which it is refused."""
    with pytest.raises(HallmarkError) as caught:
        judged(net, index, party, trust)
    return caught.value.reason


def test_a_key_that_evidence_binds_is_found(net: LittleNetwork) -> None:
    """Key, payee, bundle and measurement are the registration's."""
    node = net.nodes[0]
    assert node.bundle is not None
    found = judged(net, node.registered)
    assert found == SettlementKey(
        SETTLEMENT, bytes.fromhex(node.bundle.payment[2:]), node.bundle.digest(), net.measurement.digest()
    )


def test_a_bundle_without_one_asks_for_nothing(net: LittleNetwork) -> None:
    """A node that draws on no accounts is left alone."""
    node = net.nodes[0]
    assert node.bundle is not None
    node.bundle = msgspec.structs.replace(node.bundle, settlement=msgspec.UNSET)
    assert judged(net, net.register(node)) is None


def test_another_entry_is_no_registration(net: LittleNetwork) -> None:
    """Neither a policy nor a full node's profile; another node's is waited for."""
    assert refused(net, 0) == "not_a_registration"
    assert refused(net, net.full_nodes[0].registered, net.full_nodes[0]) == "not_a_registration"
    assert refused(net, net.nodes[1].registered) == "registration_pending"


def test_an_owner_whom_the_authority_does_not_know(net: LittleNetwork) -> None:
    """Somebody else's node gets no key of this network's registered by naming this one."""
    node = net.nodes[0]
    node.owner = key("somebody")
    index = node.registered
    assert refused(net, index) == "registrant_unknown"


def test_a_bundle_that_was_exchanged(net: LittleNetwork) -> None:
    """Another settlement key in the bundle is not what the registration commits to."""
    node = net.nodes[0]
    entry = net.registration(node)
    assert node.bundle is not None
    other = msgspec.structs.replace(node.bundle, settlement=hex0x(key("thief").address))
    changed = msgspec.structs.replace(entry, attachments=(other.encode(), entry.attachments[1]))
    assert refused(net, net.add(changed)) == "bundle_other"


def test_a_host_that_signs_another_key_itself(net: LittleNetwork) -> None:
    """Key and owner can sign any bundle; the evidence binds the enclave's own."""
    node = net.nodes[0]
    genuine = net.registration(node)
    assert node.bundle is not None
    other = msgspec.structs.replace(node.bundle, settlement=hex0x(key("thief").address))
    statement = msgspec.structs.replace(genuine.statement, document=other.digest())
    forged = net.entry(statement, (node.key, node.owner), other.encode(), genuine.attachments[1])
    assert refused(net, net.add(forged)) == "evidence_rejected"


def test_no_enclave_no_key(net: LittleNetwork) -> None:
    """A vanilla bundle that names one is refused, and so is evidence that is not there."""
    node = net.nodes[0]
    node.bundle = net.bundle(node, Mode.VANILLA)
    assert refused(net, net.register(node)) == "evidence_absent"
    node.bundle = net.bundle(node)
    assert refused(net, net.add(net.registration(node, evidence=sha256(b"other")))) == "evidence_absent"


def test_what_was_declared_since_counts(net: LittleNetwork) -> None:
    """A compromised key and a revoked measurement are refused from the position that was named."""
    node, trust = net.nodes[0], Notary(net).trust()
    at = node.registered
    lost = CompromisedKey(hex0x(node.address), at, "key_leaked")
    later = msgspec.structs.replace(lost, since=at + 1)
    assert refused(net, at, trust=msgspec.structs.replace(trust, compromised=(lost,))) == "key_compromised"
    assert judged(net, at, trust=msgspec.structs.replace(trust, compromised=(later,))) is not None
    gone = RevokedMeasurement(hex0x(net.measurement.digest()), at, "image_vulnerable")
    assert refused(net, at, trust=msgspec.structs.replace(trust, revoked=(gone,))) == "evidence_rejected"


def test_objections_of_full_nodes_are_counted_once_each(net: LittleNetwork) -> None:
    """By author, for this entry alone; whoever is no full node is not heard."""
    trust, at = Notary(net).trust(), net.nodes[0].registered
    first, second = net.full_nodes[:2]
    start = len(net.leaves)
    for entry in (
        net.verdict(first, at, "evidence_rejected"),
        net.verdict(first, at, "beacon_unknown"),
        net.verdict(second, at + 1, "evidence_rejected"),
        net.verdict(net.nodes[1], at, "evidence_rejected"),
    ):
        net.add(entry)
    assert objectors(trust, net.leaves[start:], at) == {first.address}
    net.add(net.verdict(second, at, "evidence_rejected"))
    assert objectors(trust, net.leaves[start:], at) == {first.address, second.address}
