"""A gateway that misleads: each lie about a route or a node is found before anything is sealed to it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.unit.sealing_client.conftest import sealed_client

from hallmark import AsyncClient
from hallmark.core.document import hex0x
from hallmark.core.documents import Candidate, Candidates, Sealing
from hallmark.core.errors import HallmarkError
from hallmark.core.receipt import Mode
from hallmark.privacy.key_configurations import Ratchet
from hallmark.routing.ticket import Place, sign_ticket
from hallmark.services.relay.info import TO_NODE
from hallmark.services.sealing.refusals import CLEAR, NothingSent, NotReached
from hallmark.testing.network import Party, key
from hallmark.testing.sealed_network import HOUR_MS, SealedNetwork, only
from hallmark.testing.stub_evidence import verify_stub_evidence

Record = dict[str, Any]


async def refused(client: AsyncClient, local: SealedNetwork) -> str:
    """The reason with which a question is not asked; nothing went to any node."""
    with pytest.raises(HallmarkError) as caught:
        await client.ask("Which?", model="digits")
    assert not [path for path, _, _ in local.honest.seen if path.startswith(TO_NODE + "0x")]
    assert isinstance(caught.value, NothingSent)
    assert CLEAR in caught.value.hint
    return caught.value.reason


def candidates(local: SealedNetwork, **changes: Any) -> Candidates:
    """Both nodes as candidates."""
    both = tuple(
        Candidate(hex0x(party.address), hex0x(party.bundle.digest()))
        for party in local.net.nodes
        if party.bundle is not None
    )
    return msgspec.structs.replace(Candidates("digits", 1, both, ()), **changes)


TICKETS: dict[str, Callable[[SealedNetwork, Record], Record]] = {
    "ticket_unreadable": lambda _, route: route | {"ticket": "0x1234"},
    "ticket_unsigned": lambda local, _: local.ticket(candidates(local)) | {"ticket": _other_signature(local)},
    "ticket_gateway_unknown": lambda local, _: local.ticket(candidates(local), signer=key("a stranger")),
    "ticket_not_in_force": lambda local, _: local.ticket(candidates(local), now=local.net.now - HOUR_MS),
    "ticket_wrong_network": lambda local, _: _of_another_network(local),
    "candidates_mismatch": lambda _, route: route | {"candidates": only(route).encode().decode()},
    "ticket_other_model": lambda local, _: local.ticket(candidates(local, model="another")),
    "candidates_steered": lambda local, _: local.ticket(
        candidates(local, candidates=candidates(local).candidates[:1] * 2)
    ),
}


def _of_another_network(local: SealedNetwork) -> Record:
    size, root = local.net.beacon()
    place = Place(b"\7" * 32, local.net.genesis.chain_id, size, root)
    signed = sign_ticket(
        candidates(local), place, local.net.gateway.key, now=local.net.now, nonce=os.urandom(32)
    )
    return {"ticket": hex0x(signed.packed), "candidates": signed.candidates.decode()}


def _other_signature(local: SealedNetwork) -> str:
    mine, theirs = local.ticket(candidates(local)), local.ticket(candidates(local), signer=key("x"))
    return str(mine["ticket"])[:-130] + str(theirs["ticket"])[-130:]


@pytest.mark.parametrize("reason", TICKETS)
async def test_a_ticket_that_steers(local: SealedNetwork, client: AsyncClient, reason: str) -> None:
    """Unsigned, by a stranger, old, of another model, of other candidates: each has its reason."""
    local.directory.ticket = lambda route: TICKETS[reason](local, route)
    assert await refused(client, local) == reason


def _sealing(**changes: Any) -> Callable[[SealedNetwork, Record], Record]:
    return lambda _, record: record | {"sealing": record["sealing"] | changes}


def _bundle(local: SealedNetwork, record: Record, **changes: Any) -> Record:
    party = _party(local, record)
    assert party.bundle is not None
    other = msgspec.structs.replace(party.bundle, **changes)
    return record | {"bundle": other.encode().decode()}


def _party(local: SealedNetwork, record: Record) -> Party:
    return next(party for party in local.net.nodes if hex0x(party.address) == record["node"])


def _old_window(local: SealedNetwork, record: Record) -> Record:
    return record | {"sealing": local.directory.sealing(_party(local, record), 3)}


def _own_key(local: SealedNetwork, record: Record) -> Record:
    """Keys that the gateway holds itself, with the honest path."""
    own = Ratchet(b"\7" * 32, since=local.net.now - HOUR_MS, every=3 * HOUR_MS, count=8)
    blob = base64.b64encode(own.blob(record["sealing"]["window"])).decode()
    return record | {"sealing": record["sealing"] | {"configurations": blob}}


def _unlogged(local: SealedNetwork, record: Record) -> Record:
    """A proof of another leaf than the one shown."""
    proof = local.notary.proof(0)
    return record | {"registration": record["registration"] | {"proof": proof, "index": 0}}


def _few(local: SealedNetwork, record: Record) -> Record:
    """A proof that too few full nodes cosigned."""
    place = record["registration"]["index"]
    proof = local.notary.proof(place, signers=list(local.notary.witnesses)[:2])
    return record | {"registration": record["registration"] | {"proof": proof}}


def _others(local: SealedNetwork, record: Record) -> Record:
    other = next(party for party in local.net.nodes if party is not _party(local, record))
    theirs = local.directory.record(other.address)
    return record | {"registration": theirs["registration"]}


def _evidence(local: SealedNetwork, record: Record) -> Record:
    other = next(party for party in local.net.nodes if party is not _party(local, record))
    return record | {"evidence": local.directory.record(other.address)["evidence"]}


RECORDS: dict[str, Callable[[SealedNetwork, Record], Record]] = {
    "node_record_unreadable": lambda *_: {"node": 7},
    "node_record_other": lambda _, record: record | {"node": "0x" + "11" * 20},
    "candidate_bundle_other": lambda local, record: _bundle(local, record, capacity=99),
    "registration_not_proven": _unlogged,
    "registration_other": _others,
    "evidence_not_registered": _evidence,
    "configuration_other": lambda _, record: record | {"configuration": "{}"},
    "key_window_other": _old_window,
    "key_configuration_other": _own_key,
    "key_configuration_missing": lambda _, record: record | {"sealing": None},
}


@pytest.mark.parametrize("reason", RECORDS)
async def test_a_record_that_misleads(local: SealedNetwork, client: AsyncClient, reason: str) -> None:
    """Swapped, not in the log, of other keys, of an old window: each has its reason."""
    local.directory.change = lambda record: RECORDS[reason](local, record)
    assert await refused(client, local) == reason


@pytest.mark.parametrize("reason", ["bundle_not_of_node", "node_without_enclave"])
async def test_a_ticket_and_a_record_that_agree(
    local: SealedNetwork, client: AsyncClient, reason: str
) -> None:
    """Another node's bundle under this node's name, and a bundle of a node without an enclave."""
    node, other = (party.bundle for party in local.net.nodes)
    assert node is not None
    assert other is not None
    shown = other if reason == "bundle_not_of_node" else msgspec.structs.replace(node, mode=Mode.VANILLA)
    one = Candidate(node.signing_key, hex0x(shown.digest()))
    local.directory.ticket = lambda _: local.ticket(candidates(local, candidates=(one,)))
    local.directory.change = lambda record: record | {"bundle": shown.encode().decode()}
    assert await refused(client, local) == reason


async def test_too_few_cosignatures_prove_nothing(local: SealedNetwork, client: AsyncClient) -> None:
    """A registration that a minority of the full nodes cosigned is not in the log."""
    local.directory.change = lambda record: _few(local, record)
    assert await refused(client, local) == "registration_not_proven"


async def test_one_spoiled_candidate_ends_the_question(local: SealedNetwork, client: AsyncClient) -> None:
    """A gateway that spoils all candidates but one does not choose who answers."""
    spoiled = hex0x(local.net.nodes[0].address)
    local.directory.change = lambda record: (
        record if record["node"] != spoiled else _old_window(local, record)
    )
    assert await refused(client, local) == "key_window_other"


async def test_two_bundles_for_one_epoch(local: SealedNetwork, client: AsyncClient) -> None:
    """A second bundle of a node in the log, with keys of its own, is noticed by who saw the first: by the
    same client, and by another one of the same home.
    """
    first = await client.way.path.passage("digits")  # type: ignore[attr-defined]
    assert len(first.nodes) == 2
    party = local.net.nodes[0]
    own = Ratchet(b"\7" * 32, since=local.net.now - HOUR_MS, every=3 * HOUR_MS, count=8)
    assert party.bundle is not None
    party.bundle = msgspec.structs.replace(party.bundle, sealing=own.sealing)
    local.ratchets[party.name] = own
    local.net.register(party)
    local.log.witness()
    local.directory.ticket = lambda _: local.ticket(candidates(local))
    assert await refused(client, local) == "bundle_not_the_only_one"
    async with sealed_client(local) as other:
        assert await refused(other, local) == "bundle_not_the_only_one"


def _second_enclave(local: SealedNetwork, objectors: int) -> str:
    """The first node's host registers another enclave for its epoch, and full nodes object; its key."""
    net = local.net
    index = net.restart(net.nodes[0], epoch=1)
    for author in net.full_nodes[:objectors]:
        net.add(net.verdict(author, index, "epoch_taken"))
    local.log.witness()
    local.directory.ticket = lambda _: local.ticket(candidates(local))
    assert net.replica().failures(index) == ("epoch_taken",)
    return hex0x(net.nodes[0].address)


async def test_a_second_bundle_for_an_epoch_is_refused_by_who_never_saw_the_first(
    local: SealedNetwork, client: AsyncClient
) -> None:
    """Full nodes' objections stand behind the registration, below the checkpoint that proves it."""
    _second_enclave(local, objectors=2)
    with pytest.raises(NothingSent) as caught:
        await client.ask("Which?", model="digits")
    assert caught.value.reason == "registration_objected"
    assert "epoch_taken" in caught.value.hint
    assert await refused(client, local) == "registration_objected"


async def test_one_full_node_alone_keeps_nobody_away(local: SealedNetwork, client: AsyncClient) -> None:
    """No more object than may be wrong: an honest quorum would have objected with it."""
    _second_enclave(local, objectors=1)
    passage = await client.way.path.passage("digits")  # type: ignore[attr-defined]
    assert len(passage.nodes) == 2


async def test_objections_cannot_be_left_out(local: SealedNetwork, client: AsyncClient) -> None:
    """Nothing behind the registration, less than all, something else, or what cannot be read: nothing is
    sent.
    """
    spoiled = _second_enclave(local, objectors=2)
    changes: tuple[Callable[[list[str]], object], ...] = (
        lambda after: None,
        lambda after: [],
        lambda after: after[:-1],
        lambda after: [*after, after[-1]],
        lambda after: [after[0], after[0]],
        lambda after: after[::-1],
        lambda after: ["?", after[1]],
    )
    for change in changes:

        def shown(record: Record, change: Callable[[list[str]], object] = change) -> Record:
            registration = record["registration"]
            after = change(registration["after"]) if record["node"] == spoiled else registration["after"]
            return record | {"registration": registration | {"after": after}}

        local.directory.change = shown
        assert await refused(client, local) == "objections_not_shown"


async def test_evidence_is_judged_here(local: SealedNetwork, client: AsyncClient) -> None:
    """Evidence of an image that the trust file does not name, evidence that is too old, an image or key that
    is no longer believed.
    """
    checker = client.way.path._checker  # type: ignore[attr-defined]
    trust = checker._trust
    other = msgspec.structs.replace(
        local.net.measurement, registers={f"PCR{i}": "0x" + "77" * 48 for i in range(3)}
    )
    checker._trust = msgspec.structs.replace(trust, measurement=(other,))
    assert await refused(client, local) == "evidence_does_not_hold"
    revoked = {"document": hex0x(local.net.measurement.digest()), "since": 0, "reason": "image_vulnerable"}
    checker._trust = msgspec.convert(msgspec.to_builtins(trust) | {"revoked": [revoked]}, type(trust))
    assert await refused(client, local) == "image_revoked"
    bad = [
        {"key": hex0x(party.address), "since": 10_000, "reason": "key_leaked"} for party in local.net.nodes
    ]
    checker._trust = msgspec.convert(msgspec.to_builtins(trust) | {"compromised": bad}, type(trust))
    assert await refused(client, local) == "node_key_compromised"
    checker._trust = trust
    later = local.net.now + trust.attestation.max_age + 1
    data = msgspec.json.encode(local.directory.record(local.net.nodes[0].address))
    choice = candidates(local).candidates[0]
    with pytest.raises(NothingSent) as caught:
        checker.check(data, _choice(choice), later)
    assert caught.value.reason == "evidence_too_old"
    assert verify_stub_evidence is not None


def _choice(candidate: Candidate) -> Any:
    from hallmark.services.sealing.ticket_check import Choice

    return Choice(bytes.fromhex(candidate.node[2:]), bytes.fromhex(candidate.bundle[2:]))


async def test_a_schedule_that_is_over(local: SealedNetwork, client: AsyncClient) -> None:
    """A node whose last window is over takes nothing sealed; where all are so, the question is not asked."""
    checker = client.way.path._checker  # type: ignore[attr-defined]
    data = local.directory.record(local.net.nodes[0].address)
    choice = _choice(candidates(local).candidates[0])
    after = local.net.now + 23 * HOUR_MS + 300_000
    bundle = local.net.nodes[0].bundle
    assert bundle is not None
    assert isinstance(bundle.sealing, Sealing)
    record = msgspec.json.encode(data | {"sealing": None})
    assert checker.check(record, choice, after) is None
    client.way.path._clock = lambda: after  # type: ignore[attr-defined]
    local.directory.ticket = lambda _: local.ticket(candidates(local), now=after)
    local.directory.change = lambda record: record | {"sealing": None}
    with pytest.raises(NotReached) as caught:
        await client.ask("Which?", model="digits")
    assert caught.value.reason == "no_sealed_node"
    assert not [path for path, _, _ in local.honest.seen if path.startswith(TO_NODE + "0x")]
