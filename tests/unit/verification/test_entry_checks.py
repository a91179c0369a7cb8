"""Who may say what: for each kind of entry, what is refused and why."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import State
from hallmark.core.receipt import Mode
from hallmark.core.registry import host_of
from hallmark.core.statements import Approval, Compromise, Publication, Registration, Retirement, Role, code
from hallmark.testing.dossiers import clearing_policy
from hallmark.testing.network import HOUR, LittleNetwork, Party, key
from hallmark.verification.reasons import REASONS

OTHER = b"\x07" * 32
Wrong = Callable[[LittleNetwork], Entry]


def _fresh(net: LittleNetwork) -> Party:
    return Party("a new node", Role.NODE)


def _signed_by(*names: str) -> Callable[[LittleNetwork, Entry], Entry]:
    def sign(net: LittleNetwork, entry: Entry) -> Entry:
        return net.entry(entry.statement, tuple(key(name) for name in names), *entry.attachments)

    return sign


def _registration(**fields: object) -> Wrong:
    return lambda net: net.registration(_fresh(net), **fields)


def _registration_by(*names: str) -> Wrong:
    return lambda net: _signed_by(*names)(net, net.registration(_fresh(net)))


def _gateway_without_authority(net: LittleNetwork) -> Entry:
    party = Party("another gateway", Role.GATEWAY)
    entry = net.registration(party)
    return msgspec.structs.replace(entry, signatures=entry.signatures[:3])


def _gateway_by_one_key_twice(net: LittleNetwork) -> Entry:
    party = Party("another gateway", Role.GATEWAY)
    entry = net.registration(party)
    return net.entry(
        entry.statement, (party.key, party.owner, net.authority[0], net.authority[0]), *entry.attachments
    )


def _stolen_bundle(net: LittleNetwork) -> Entry:
    party = _fresh(net)
    party.bundle = net.nodes[0].bundle
    return net.registration(party)


def _other_bundle_of_a_key(net: LittleNetwork) -> Entry:
    node = net.nodes[0]
    node.bundle = msgspec.structs.replace(net.bundle(node), epoch=2)
    return net.registration(node)


def _second_enclave(net: LittleNetwork, epoch: int) -> Party:
    """Another key of the first node's owner, at its address."""
    first, party = net.nodes[0], _fresh(net)
    assert first.bundle is not None
    party.owner = first.owner
    party.bundle = msgspec.structs.replace(
        net.bundle(party), owner=first.bundle.owner, endpoint=first.bundle.endpoint, epoch=epoch
    )
    return party


def _epoch(epoch: int) -> Wrong:
    return lambda net: net.registration(_second_enclave(net, epoch))


def _other_evidence(net: LittleNetwork) -> Entry:
    entry = net.registration(_fresh(net))
    evidence = net.evidence(b"another bundle", *net.beacon()).encode()
    return msgspec.structs.replace(entry, attachments=(entry.attachments[0], evidence))


def _unbound_evidence(net: LittleNetwork) -> Entry:
    original = net.evidence
    net.evidence = lambda bundle, size, root: original(b"another bundle", size, root)  # type: ignore[method-assign]
    return net.registration(_fresh(net))


def _old_nonce(net: LittleNetwork) -> Entry:
    original = net.evidence
    net.evidence = lambda bundle, size, root: original(bundle, 1, OTHER)  # type: ignore[method-assign]
    return net.registration(_fresh(net))


def _old_evidence(net: LittleNetwork) -> Entry:
    entry = net.registration(_fresh(net))
    net.tick(24 * HOUR + 1)
    return entry


def _unapproved_image(net: LittleNetwork) -> Entry:
    registers = {"PCR0": hex0x(b"\xee" * 48)}
    net.measurement = msgspec.structs.replace(net.measurement, registers=registers)
    return net.registration(_fresh(net))


def _vanilla_with_evidence(net: LittleNetwork) -> Entry:
    party = _fresh(net)
    entry = net.registration(party)
    party.bundle = net.bundle(party, Mode.VANILLA)
    bare = net.registration(party)
    assert isinstance(bare.statement, Registration)
    return msgspec.structs.replace(bare, attachments=(bare.attachments[0], entry.attachments[1]))


def _tee_without_evidence(net: LittleNetwork) -> Entry:
    entry = net.registration(_fresh(net), evidence=ZERO32)
    return msgspec.structs.replace(entry, attachments=(entry.attachments[0], b""))


def _new_role(net: LittleNetwork) -> Entry:
    return net.registration(net.nodes[0], role=Role.GATEWAY)


def _new_owner(net: LittleNetwork) -> Entry:
    net.nodes[0].owner = key("a new owner")
    net.nodes[0].bundle = None
    return net.registration(net.nodes[0])


def _retired_again(net: LittleNetwork) -> Entry:
    net.add(net.retirement(net.nodes[0]))
    return net.registration(net.nodes[0])


def _compromised_again(net: LittleNetwork) -> Entry:
    net.add(net.compromise(net.nodes[0], 5))
    return net.registration(net.nodes[0])


def _retirement_by_other(net: LittleNetwork) -> Entry:
    return _signed_by("somebody")(net, net.retirement(net.nodes[0]))


def _retirement_of_nobody(net: LittleNetwork) -> Entry:
    statement = Retirement(net.genesis.network, b"\x09" * 20, code("gone"), net.now)
    return net.entry(statement, (key("x"),))


def _compromise_by_other(net: LittleNetwork) -> Entry:
    return _signed_by("somebody")(net, net.compromise(net.nodes[0], 1))


def _compromise_ahead(net: LittleNetwork) -> Entry:
    return net.compromise(net.nodes[0], 10_000)


def _approval_by_one(net: LittleNetwork) -> Entry:
    other = msgspec.structs.replace(net.measurement, version="2")
    return msgspec.structs.replace(net.approval(other), signatures=net.approval(other).signatures[:1])


def _approval_of_nothing(net: LittleNetwork) -> Entry:
    return net.approval(msgspec.structs.replace(net.measurement, registers={}))


def _approval_after_revocation(net: LittleNetwork) -> Entry:
    net.add(net.revocation(net.measurement, net.tree.size))
    net.tick(1)
    return net.approval(net.measurement)


def _approval_of_other(net: LittleNetwork) -> Entry:
    statement = Approval(net.genesis.network, OTHER, net.now)
    return net.entry(statement, net.authority[:2], net.measurement.encode())


def _approval_unreadable(net: LittleNetwork) -> Entry:
    from hallmark.core.document import digest_of
    from hallmark.core.documents import Measurement

    statement = Approval(net.genesis.network, digest_of(Measurement, b"{}"), net.now)
    return net.entry(statement, net.authority[:2], b"{}")


def _revocation_of_unknown(net: LittleNetwork) -> Entry:
    return net.revocation(msgspec.structs.replace(net.measurement, version="9"), 1)


def _label_of_other(net: LittleNetwork) -> Entry:
    net.tick(1)
    return net.publication(net.card)


def _card_of_other(net: LittleNetwork) -> Entry:
    return net.publication(msgspec.structs.replace(net.card, label="new", owner="0x" + "11" * 20))


def _publication_by_other(net: LittleNetwork) -> Entry:
    card = msgspec.structs.replace(net.card, label="new")
    statement = Publication(net.genesis.network, net.maker.address, card.digest(), net.now)
    return net.entry(statement, (key("somebody"),), card.encode())


def _version_by_other(net: LittleNetwork) -> Entry:
    newer = net.make_manifest("2", b"artifact 2", hex0x(net.manifest.digest()))
    return _signed_by("somebody")(net, net.version(newer))


def _version_without_label(net: LittleNetwork) -> Entry:
    return net.version(msgspec.structs.replace(net.manifest, label="nothing"))


def _version_of_other_card(net: LittleNetwork) -> Entry:
    newer = net.make_manifest("2", b"artifact 2", hex0x(net.manifest.digest()))
    return net.version(msgspec.structs.replace(newer, card=hex0x(OTHER)))


def _version_out_of_line(net: LittleNetwork) -> Entry:
    return net.version(net.make_manifest("2", b"artifact 2", ""))


def _version_of_other_artifact(net: LittleNetwork) -> Entry:
    newer = net.make_manifest("2", b"artifact 2", hex0x(net.manifest.digest()))
    entry = net.version(newer)
    statement = msgspec.structs.replace(entry.statement, artifact=OTHER)
    return net.entry(statement, (net.maker,), *entry.attachments)


def _policy_by_one(net: LittleNetwork) -> Entry:
    entry = net.policy_entry("attestation", msgspec.structs.replace(net.attestation, version=2))
    return msgspec.structs.replace(entry, signatures=entry.signatures[:1])


def _policy_not_newer(net: LittleNetwork) -> Entry:
    net.tick(1)
    return net.policy_entry("attestation", net.attestation)


def _policy_of_unknown_kind(net: LittleNetwork) -> Entry:
    return net.policy_entry("weather", net.attestation)


def _policy_misnamed(net: LittleNetwork) -> Entry:
    return net.policy_entry("clearing:other", clearing_policy("witnessed", State.WITNESSED, "hardware"))


WRONG: dict[str, tuple[str, Wrong]] = {
    "other network": ("wrong_network", _registration(network=OTHER)),
    "made later": ("statement_in_future", _registration(at=1 << 50)),
    "no such role": ("role_unknown", _registration(role=9)),
    "other document": ("document_mismatch", _registration(document=OTHER)),
    "signed by a stranger": ("bad_signature", _registration_by("somebody", "a new node owner")),
    "owner did not sign": ("bad_signature", _registration_by("a new node", "somebody")),
    "too many signatures": ("signature_count", _registration_by("a new node", "a new node owner", "x")),
    "gateway without authority": ("authority_threshold", _gateway_without_authority),
    "one authority key twice": ("authority_threshold", _gateway_by_one_key_twice),
    "stolen bundle": ("bundle_names_other", _stolen_bundle),
    "other bundle of a key": ("bundle_changed", _other_bundle_of_a_key),
    "epoch taken": ("epoch_taken", _epoch(1)),
    "epoch below a taken one": ("epoch_taken", _epoch(0)),
    "beacon unknown": ("beacon_unknown", _registration(beacon_root=OTHER)),
    "beacon ahead": ("beacon_in_future", _registration(beacon_size=10_000)),
    "evidence replaced": ("evidence_mismatch", _other_evidence),
    "evidence of another bundle": ("evidence_rejected", _unbound_evidence),
    "evidence for another nonce": ("evidence_rejected", _old_nonce),
    "old evidence": ("evidence_rejected", _old_evidence),
    "unapproved image": ("evidence_rejected", _unapproved_image),
    "vanilla with evidence": ("evidence_unexpected", _vanilla_with_evidence),
    "tee without evidence": ("evidence_mismatch", _tee_without_evidence),
    "new role": ("role_changed", _new_role),
    "new owner": ("owner_changed", _new_owner),
    "after retirement": ("key_retired", _retired_again),
    "after compromise": ("key_compromised", _compromised_again),
    "retirement by a stranger": ("bad_signature", _retirement_by_other),
    "retirement of nobody": ("key_unknown", _retirement_of_nobody),
    "compromise by a stranger": ("bad_signature", _compromise_by_other),
    "compromise ahead": ("since_in_future", _compromise_ahead),
    "approval by one": ("authority_threshold", _approval_by_one),
    "empty measurement": ("measurement_empty", _approval_of_nothing),
    "approval after revocation": ("measurement_revoked", _approval_after_revocation),
    "approval of another document": ("document_mismatch", _approval_of_other),
    "approval of nonsense": ("document_unreadable", _approval_unreadable),
    "revocation of the unknown": ("measurement_unknown", _revocation_of_unknown),
    "label taken": ("label_taken", _label_of_other),
    "card of another": ("card_names_other", _card_of_other),
    "publication by another": ("bad_signature", _publication_by_other),
    "version by another": ("bad_signature", _version_by_other),
    "version without label": ("label_unknown", _version_without_label),
    "version of another card": ("card_mismatch", _version_of_other_card),
    "version out of line": ("lineage_broken", _version_out_of_line),
    "version of another artifact": ("artifact_mismatch", _version_of_other_artifact),
    "policy by one": ("authority_threshold", _policy_by_one),
    "policy not newer": ("policy_version", _policy_not_newer),
    "policy of unknown kind": ("policy_kind_unknown", _policy_of_unknown_kind),
    "policy misnamed": ("policy_kind_unknown", _policy_misnamed),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_entry_is_refused_by_its_reason(name: str) -> None:
    """An entry with one thing wrong fails with that thing's reason, and changes nothing."""
    reason, wrong = WRONG[name]
    net = LittleNetwork()
    entry = wrong(net)
    replica = net.replica()
    before = msgspec.json.encode(_standing(replica.registry))
    index = net.add(entry)
    replica.feed(index, net.leaves[index])
    assert reason in replica.failures(index)
    assert reason in REASONS
    assert msgspec.json.encode(_standing(replica.registry)) == before


def _standing(registry: object) -> dict[str, object]:
    builtins = msgspec.to_builtins(registry, str_keys=True, enc_hook=repr)
    return {k: v for k, v in builtins.items() if k not in ("size", "last_admitted", "seen")}


def test_founding_entries_are_accepted() -> None:
    """The network that every test starts from holds nothing that fails."""
    replica = LittleNetwork().replica()
    assert not replica.judgements.failed
    assert len(replica.registry.members) == 7


def test_refreshed_evidence_replaces_the_old() -> None:
    """Registering a key again renews the evidence, so receipts pass after the first went stale."""
    net = LittleNetwork()
    net.tick(23 * HOUR)
    net.register(net.nodes[0])
    net.tick(2 * HOUR)
    good, bad = net.add(net.receipt_entry(net.nodes[0])), net.add(net.receipt_entry(net.nodes[1]))
    replica = net.replica()
    assert replica.failures(good) == ()
    assert replica.failures(bad) == ("evidence_stale",)


def test_a_host_registers_one_bundle_an_epoch() -> None:
    """Epochs of an owner at one address ascend, with gaps; nobody else's are touched, and all cost one
    number.
    """
    net = LittleNetwork()
    second, third, late = (_second_enclave(net, epoch) for epoch in (5, 9, 7))
    for number, party in enumerate((second, third, late)):
        party.key = key(f"enclave {number}")
        assert party.bundle is not None
        party.bundle = msgspec.structs.replace(party.bundle, signing_key=hex0x(party.address))
    fresh = _fresh(net)
    good = [net.register(party) for party in (second, third, fresh)]
    bad = net.register(late)
    replica = net.replica()
    assert [replica.failures(at) for at in good] == [(), (), ()]
    assert replica.failures(bad) == ("epoch_taken",)
    assert late.address not in replica.registry.members
    first = net.nodes[0]
    assert first.bundle is not None
    assert replica.registry.epochs[host_of(first.owner.address, first.bundle.endpoint)] == 9
    assert len(replica.registry.epochs) == len(net.nodes) + 1


def test_an_earlier_bundle_is_refreshed_after_a_later_one() -> None:
    """What stands in the log already may come again with fresh evidence: it is no second bundle."""
    net = LittleNetwork()
    second = _second_enclave(net, 2)
    net.register(second)
    again = net.register(net.nodes[0])
    third = _second_enclave(net, 2)
    third.key = key("a third enclave")
    third.bundle = msgspec.structs.replace(second.bundle, signing_key=hex0x(third.address))
    refused = net.register(third)
    replica = net.replica()
    assert replica.failures(again) == ()
    assert replica.failures(refused) == ("epoch_taken",)


def test_a_bundle_that_was_refused_takes_no_epoch() -> None:
    """An epoch is taken by a registration that holds, by nothing else."""
    net = LittleNetwork()
    party = _second_enclave(net, 2)
    bad = net.add(_signed_by("a new node", "somebody")(net, net.registration(party)))
    good = net.register(party)
    replica = net.replica()
    assert replica.failures(bad) == ("bad_signature",)
    assert replica.failures(good) == ()


def test_authority_may_declare_a_compromise() -> None:
    """Without the owner, a threshold of authority keys ends a key from the position that they name."""
    net = LittleNetwork()
    at = net.add(net.receipt_entry(net.nodes[0]))
    statement = Compromise(net.genesis.network, net.nodes[0].address, at, code("seized"), net.now)
    net.add(net.entry(statement, net.authority[1:]))
    assert net.replica().registry.members[net.nodes[0].address].compromised_since == at


def test_a_vanilla_node_registers_without_evidence() -> None:
    """A bundle that says vanilla needs no evidence, and its receipts then skip that check."""
    net = LittleNetwork()
    party = Party("vanilla", Role.NODE)
    party.bundle = net.bundle(party, Mode.VANILLA)
    net.register(party)
    index = net.add(net.receipt_entry(party, direct=True))
    replica = net.replica()
    assert not replica.judgements.failed
    assert replica.memory.attested[party.address, party.bundle.digest()].evidence is None
    assert index in range(replica.size)


def test_content_is_compared_where_a_copy_is_held() -> None:
    """A full node that holds the artifact refuses a manifest whose blob ID is another's; others skip that."""
    from hallmark.testing.stub_evidence import verify_stub_evidence
    from hallmark.verification.fold import Replica

    net = LittleNetwork()
    held = Replica(
        net.genesis, verify_stub_evidence, check_artifact=lambda _blob, _sha, _size: "artifact_content"
    )
    for index, leaf in enumerate(net.leaves):
        held.feed(index, leaf)
    assert held.failures(net.version_index) == ("artifact_content",)
    receipt = net.add(net.receipt_entry(net.nodes[0]))
    held.feed(receipt, net.leaves[receipt])
    assert held.failures(receipt) == ()
    for author in net.full_nodes[:2]:
        net.add(net.verdict(author, net.version_index, "artifact_content"))
    later = net.add(net.receipt_entry(net.nodes[0]))
    other = net.replica()
    assert other.failures(later) == ("manifest_rejected",)
    assert other.faults_due(net.full_nodes[3].address) == ()
    assert other.judgements.undecided == {net.version_index: ("artifact_content",)}
    assert not other.judgements.refutes(net.version_index, "artifact_content")
