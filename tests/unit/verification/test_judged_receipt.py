"""The checks on receipts: for each lie that a node or a submitter can tell, exactly its reason code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from hallmark.core.document import digest_of
from hallmark.core.documents import RouteRecord
from hallmark.core.entries import Entry
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Mode
from hallmark.core.sealing import GRACE_MS
from hallmark.core.statements import Role
from hallmark.crypto.secp256k1 import HALF_ORDER, recover
from hallmark.testing.network import HOUR, SEALING, LittleNetwork, Party, key, sealed_path
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.fold import Replica
from hallmark.verification.outcome import Check, Outcome
from hallmark.verification.receipt_checks import RECEIPT_RULES

Lie = Callable[[LittleNetwork], Entry]
OTHER = b"\x07" * 32


def changed(**fields: Any) -> Lie:
    """A receipt that its node signed with these fields changed."""
    return lambda net: net.receipt_entry(net.nodes[0], **fields)


def ticketed(**fields: Any) -> Lie:
    """A receipt whose route ticket has these fields changed."""
    return lambda net: net.receipt_entry(net.nodes[0], ticket_changes=fields)


def sealed(made: Callable[[RouteRecord], RouteRecord] = lambda r: r, **fields: Any) -> Lie:
    """A receipt of a sealed request to a node that takes them, whose record says these fields."""

    def lie(net: LittleNetwork) -> Entry:
        answer = net.answer(net.nodes[0], sealed=sealed_path(**fields), advance=False)
        route = made(answer.route)
        entry = net.receipt_entry(net.nodes[0], sealed=sealed_path(**fields), route=route.digest())
        return msgspec.structs.replace(entry, attachments=(route.encode(), *entry.attachments[1:]))

    return lie


def seen_by(*roles: str) -> Callable[[RouteRecord], RouteRecord]:
    """The record of a request that these roles saw in clear."""
    return lambda record: msgspec.structs.replace(record, saw_prompt=roles)


def _keyless(net: LittleNetwork) -> Entry:
    net.sealing = msgspec.UNSET
    node = type(net.nodes[0])("plain", net.nodes[0].role)
    net.register(node)
    return net.receipt_entry(node, sealed=sealed_path())


def _plain_and_sealed(record: RouteRecord) -> RouteRecord:
    return msgspec.structs.replace(record, path="plain")


def _unsaid(record: RouteRecord) -> RouteRecord:
    return msgspec.structs.replace(record, sealed=msgspec.UNSET)


def beside(change: Callable[[Entry], tuple[bytes, ...]]) -> Lie:
    """A sound receipt submitted with other attachments."""

    def lie(net: LittleNetwork) -> Entry:
        entry = net.receipt_entry(net.nodes[0])
        return msgspec.structs.replace(entry, attachments=change(entry))

    return lie


def _forged(net: LittleNetwork) -> Entry:
    entry = net.receipt_entry(net.nodes[0])
    return net.entry(entry.statement, (key("somebody else"),), *entry.attachments)


def _twice_signed(net: LittleNetwork) -> Entry:
    entry = net.receipt_entry(net.nodes[0])
    return msgspec.structs.replace(entry, signatures=entry.signatures * 2)


def _foreign_bundle(net: LittleNetwork) -> Entry:
    other = net.nodes[1].bundle
    assert other is not None
    return net.receipt_entry(net.nodes[0], bundle=other.digest())


def _unregistered_node(net: LittleNetwork) -> Entry:
    stranger = type(net.nodes[0])("stranger", net.nodes[0].role)
    stranger.bundle = net.nodes[0].bundle
    return net.receipt_entry(stranger)


def _other_gateway(net: LittleNetwork) -> Entry:
    net.gateway = type(net.gateway)("no gateway", net.gateway.role)
    return net.receipt_entry(net.nodes[0])


def _wrong_ticket_signature(net: LittleNetwork) -> Entry:
    entry = net.receipt_entry(net.nodes[0])
    ticket = bytearray(entry.attachments[2])
    ticket[-2] ^= 1
    return msgspec.structs.replace(entry, attachments=(*entry.attachments[:2], bytes(ticket)))


def _not_a_candidate(net: LittleNetwork) -> Entry:
    everyone, net.nodes = net.nodes, net.nodes[1:]
    original = net.answers.candidates
    net.answers.candidates = lambda _node: original(net.nodes[0])  # type: ignore[method-assign]
    entry = net.receipt_entry(everyone[0])
    net.nodes = everyone
    return entry


def _other_bundle_offered(net: LittleNetwork) -> Entry:
    node = net.nodes[0]
    assert node.bundle is not None
    true = node.bundle
    node.bundle = msgspec.structs.replace(true, epoch=2)
    candidates = net.answers.candidates(node)
    node.bundle = true
    net.answers.candidates = lambda _node: candidates  # type: ignore[method-assign]
    return net.receipt_entry(node)


def _other_node_chosen(net: LittleNetwork) -> Entry:
    route = RouteRecord("0x" + "00" * 32, "direct", ("node",), "0x" + "11" * 20)
    entry = net.receipt_entry(net.nodes[0], direct=True, route=route.digest())
    return msgspec.structs.replace(entry, attachments=(route.encode(), b"", b""))


def _nonsense_route(net: LittleNetwork) -> Entry:
    entry = net.receipt_entry(net.nodes[0], route=digest_of(RouteRecord, b"{}"))
    return msgspec.structs.replace(entry, attachments=(b"{}", b"", b""))


def _stale_evidence(net: LittleNetwork) -> Entry:
    net.tick(24 * HOUR + 1)
    return net.receipt_entry(net.nodes[0])


def _retired(net: LittleNetwork) -> Entry:
    net.add(net.retirement(net.nodes[0]))
    return net.receipt_entry(net.nodes[0])


def _compromised(net: LittleNetwork) -> Entry:
    net.add(net.compromise(net.nodes[0], net.tree.size))
    return net.receipt_entry(net.nodes[0])


def _revoked_image(net: LittleNetwork) -> Entry:
    net.add(net.revocation(net.measurement, net.tree.size))
    return net.receipt_entry(net.nodes[0])


def _label_moved(net: LittleNetwork) -> Entry:
    newer = net.make_manifest("2", b"artifact 2", "0x" + net.manifest.digest().hex())
    net.add(net.version(newer))
    net.add(net.retirement(net.nodes[1]))
    return net.receipt_entry(net.nodes[0])


def _unknown_manifest(net: LittleNetwork) -> Entry:
    net.manifest = msgspec.structs.replace(net.manifest, version="never logged")
    return net.receipt_entry(net.nodes[0])


def _foreign_artifact(net: LittleNetwork) -> Entry:
    return net.receipt_entry(net.nodes[0], artifact=OTHER)


def _equivocated(net: LittleNetwork) -> Entry:
    net.add(net.receipt_entry(net.nodes[0], advance=False))
    return net.receipt_entry(net.nodes[0])


LIES: dict[str, tuple[str, Lie]] = {
    "version": ("receipt_version", changed(version=2)),
    "network": ("wrong_network", changed(network=OTHER)),
    "forged": ("bad_signature", _forged),
    "signed twice": ("signature_count", _twice_signed),
    "unregistered": ("node_not_registered", _unregistered_node),
    "retired": ("key_retired", _retired),
    "compromised": ("key_compromised", _compromised),
    "foreign bundle": ("foreign_bundle", _foreign_bundle),
    "stale evidence": ("evidence_stale", _stale_evidence),
    "revoked image": ("measurement_revoked", _revoked_image),
    "replay mode": ("mode_not_of_artifact", changed(mode=Mode.REPLAY)),
    "zkml mode": ("mode_not_supported", changed(mode=Mode.ZKML)),
    "unknown mode": ("mode_not_supported", changed(mode=4)),
    "vanilla mode": ("mode_mismatch", changed(mode=Mode.VANILLA)),
    "equivocation": ("equivocation", _equivocated),
    "broken chain": ("chain_broken", changed(previous=OTHER)),
    "future beacon": ("beacon_in_future", changed(beacon_size=10_000)),
    "unknown beacon": ("beacon_unknown", changed(beacon_root=OTHER)),
    "no artifact": ("artifact_missing", changed(artifact=ZERO32)),
    "artifact and upstream": ("artifact_and_upstream", changed(upstream=OTHER)),
    "foreign artifact": ("artifact_not_in_bundle", _foreign_artifact),
    "unknown manifest": ("manifest_unknown", _unknown_manifest),
    "moved label": ("label_moved", _label_moved),
    "route digest": ("route_mismatch", beside(lambda e: (b"{}", *e.attachments[1:]))),
    "route nonsense": ("route_unreadable", _nonsense_route),
    "route to another": ("route_other_node", _other_node_chosen),
    "no ticket": ("ticket_mismatch", beside(lambda e: (*e.attachments[:2], b""))),
    "ticket signature": ("ticket_unsigned", _wrong_ticket_signature),
    "unregistered gateway": ("gateway_not_registered", _other_gateway),
    "expired ticket": ("ticket_expired", ticketed(expires=1)),
    "ticket from the future": ("ticket_expired", ticketed(issued=1 << 50, expires=1 << 51)),
    "ticket network": ("wrong_network", ticketed(network=OTHER)),
    "ticket beacon": ("beacon_in_future", ticketed(beacon_size=10_000)),
    "candidates": ("candidates_mismatch", beside(lambda e: (e.attachments[0], b"{}", e.attachments[2]))),
    "not a candidate": ("node_not_candidate", _not_a_candidate),
    "another bundle offered": ("candidate_bundle", _other_bundle_offered),
    "sealed to what": ("sealed_unsaid", sealed(_unsaid)),
    "sealed and plain": ("sealed_unexpected", sealed(_plain_and_sealed)),
    "another path": ("route_unreadable", sealed(lambda r: msgspec.structs.replace(_unsaid(r), path="vpn"))),
    "suite": ("sealed_suite_unknown", sealed(suite="rot13")),
    "no size": ("sealed_malformed", sealed(size=0)),
    "relay's name": ("sealed_malformed", sealed(relay="https://relay.example\n")),
    "relay's long name": ("sealed_malformed", sealed(relay="r" * 201)),
    "gateway saw it": ("sealed_seen_by_other", sealed(seen_by("gateway", "enclave"))),
    "host saw it": ("sealed_seen_by_other", sealed(seen_by("node"))),
    "upstream that is none": ("sealed_seen_by_other", sealed(seen_by("enclave", "upstream"))),
    "nobody saw it": ("sealed_seen_by_other", sealed(seen_by())),
    "no keys": ("sealed_without_keys", _keyless),
    "later window": ("sealed_other_window", sealed(window=1)),
    "window without keys": ("sealed_other_window", sealed(window=240)),
    "attachments": ("attachments_malformed", beside(lambda e: (*e.attachments, b"more"))),
    "times": ("times_reversed", changed(started=1 << 50, finished=0)),
    "finished later": ("finished_in_future", changed(finished=1 << 50)),
    "payment": ("attachments_malformed", changed(payment=OTHER)),
    "charge": ("payment_record_absent", changed(charged=1)),
}


@pytest.mark.parametrize("name", LIES)
def test_each_lie_is_found_by_its_reason(name: str) -> None:
    """A receipt with one lie in it fails with that lie's reason code, and one without lies passes."""
    reason, lie = LIES[name]
    net = LittleNetwork(sealing=SEALING)
    index = net.add(lie(net))
    assert reason in net.replica().failures(index)


def test_a_mode_that_the_manifest_allows_passes() -> None:
    """An enclave's receipt of integers may say replay; nobody's may say zkml."""
    net = LittleNetwork(found=False)
    net.manifest = msgspec.structs.replace(net.manifest, format="integer-exact")
    net.found()
    allowed = net.add(net.receipt_entry(net.nodes[0], mode=Mode.REPLAY))
    refused = net.add(net.receipt_entry(net.nodes[0], mode=Mode.ZKML))
    replica = net.replica()
    assert replica.failures(allowed) == ()
    assert "mode_not_supported" in replica.failures(refused)


def test_a_bundle_of_another_mode_is_not_registered() -> None:
    """What confines a node is nothing or an enclave; a bundle that says replay is refused."""
    net = LittleNetwork()
    party = Party("replay", Role.NODE)
    party.bundle = net.bundle(party, Mode.REPLAY)
    index = net.register(party)
    assert "mode_not_supported" in net.replica().failures(index)


def test_replay_is_found() -> None:
    """The same receipt in another entry is a replay."""
    net = LittleNetwork()
    entry = net.receipt_entry(net.nodes[0])
    net.add(entry)
    # The signer is deterministic; a second valid signature comes from another nonce, as any wallet may use.
    second = _resign(net, entry)
    index = net.add(second)
    assert "receipt_replayed" in net.replica().failures(index)


def _resign(net: LittleNetwork, entry: Entry) -> Entry:
    """The same statement with another valid signature by the same key (ECDSA with a random nonce)."""
    order = 2 * HALF_ORDER + 1
    signer = net.nodes[0].key
    secret = ec.derive_private_key(int.from_bytes(signer.secret, "big"), ec.SECP256K1())
    digest = entry.statement.signing_digest(net.genesis.chain_id)
    r, s = utils.decode_dss_signature(secret.sign(digest, ec.ECDSA(utils.Prehashed(SHA256()))))
    s = min(s, order - s)
    for v in (27, 28):
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v,))
        if recover(digest, signature) == signer.address:
            return msgspec.structs.replace(entry, signatures=(signature,))
    raise AssertionError("no recovery id fits")


def test_honest_receipts_pass_every_check() -> None:
    """Plain and direct receipts of both nodes pass; a check without a subject is skipped, not passed."""
    net = LittleNetwork()
    replica = net.replica()
    for node in net.nodes:
        for direct in (False, True):
            index = net.add(net.receipt_entry(node, direct=direct))
            checks = replica.feed(index, net.leaves[index])
            assert [check.name for check in checks] == [name for name, _ in RECEIPT_RULES]
            skipped = {check.name for check in checks if check.outcome is Outcome.SKIP}
            assert skipped == ({"candidates"} if direct else set())
            assert not any(check.outcome is Outcome.FAIL for check in checks)


@pytest.mark.parametrize("direct", [False, True], ids=["with a ticket", "without"])
def test_honest_sealed_receipts_pass(direct: bool) -> None:
    """A sealed request passes with a ticket and without one, up to two minutes around its window."""
    net = LittleNetwork(sealing=SEALING)
    first = net.add(net.receipt_entry(net.nodes[0], direct=direct, sealed=sealed_path()))
    net.tick(2 * HOUR + GRACE_MS + 39)
    late = net.add(net.receipt_entry(net.nodes[0], direct=direct, sealed=sealed_path()))
    early = net.add(net.receipt_entry(net.nodes[0], direct=direct, sealed=sealed_path(window=1)))
    net.tick(1)
    too_late = net.add(net.receipt_entry(net.nodes[0], direct=direct, sealed=sealed_path()))
    replica = net.replica()
    assert replica.failures(first) == replica.failures(late) == replica.failures(early) == ()
    assert replica.failures(too_late) == ("sealed_other_window",)


def test_every_check_can_fail() -> None:
    """Each rule is the reason of at least one lie, so no check is there for show."""
    found = {"unseen"}  # shown by test_replay_is_found
    for _, lie in LIES.values():
        net = LittleNetwork(sealing=SEALING)
        net.add(lie(net))
        found |= {check.name for check in _last_checks(net) if check.outcome is Outcome.FAIL}
    assert found == {name for name, _ in RECEIPT_RULES}


def _last_checks(net: LittleNetwork) -> tuple[Check, ...]:
    replica = Replica(net.genesis, verify_stub_evidence)
    checks: tuple[Check, ...] = ()
    for index, data in enumerate(net.leaves):
        checks = replica.feed(index, data)
    return checks


def test_bad_attachments_do_not_burn_the_receipt() -> None:
    """Whoever submits a receipt with attachments that are not its own cannot keep the sound one out."""
    net = LittleNetwork()
    entry = net.receipt_entry(net.nodes[0])
    broken = net.add(msgspec.structs.replace(entry, attachments=(b"{}", b"", b"")))
    sound = net.add(entry)
    later = net.add(net.receipt_entry(net.nodes[0]))
    replica = net.replica()
    assert replica.failures(broken)
    assert replica.failures(sound) == ()
    assert replica.failures(later) == ()
    assert replica.receipt_position(entry.statement.struct_hash()) == sound


def test_old_receipts_stay_after_retirement_and_compromise() -> None:
    """What was logged before the position that a retirement or compromise names stays as it was."""
    net = LittleNetwork()
    before = net.add(net.receipt_entry(net.nodes[0]))
    net.add(net.compromise(net.nodes[0], net.tree.size))
    after = net.add(net.receipt_entry(net.nodes[0]))
    replica = net.replica()
    assert replica.failures(before) == ()
    assert replica.failures(after) == ("key_compromised",)


def test_label_may_move_while_an_answer_is_made() -> None:
    """A receipt whose beacon is older than the label's move still names the version that it was asked for."""
    net = LittleNetwork()
    entry = net.receipt_entry(net.nodes[0])
    newer = net.make_manifest("2", b"artifact 2", "0x" + net.manifest.digest().hex())
    net.add(net.version(newer))
    index = net.add(entry)
    assert net.replica().failures(index) == ()
