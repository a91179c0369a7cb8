"""Routing: every reason for leaving a node out, fair drawing, load, tickets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import Candidates
from hallmark.core.errors import NotFound, Unavailable
from hallmark.core.evidence import Assurance
from hallmark.core.model_names import PinNotMet
from hallmark.core.receipt import Mode
from hallmark.core.statements import Ticket
from hallmark.crypto.secp256k1 import Key, recover_statement
from hallmark.routing.choice import choose
from hallmark.routing.eligibility import (
    Eligibility,
    ModeUnavailable,
    Wanted,
    candidates_document,
    eligibility,
)
from hallmark.routing.load import ERROR_MS, LoadTable, NodeLoad
from hallmark.routing.ticket import LIFE_MS, SHARED_MS, Place, Tickets, sign_ticket
from hallmark.testing.network import HOUR, LittleNetwork

DIGITS = Wanted("digits")


def judged(net: LittleNetwork, wanted: Wanted = DIGITS, loads: LoadTable | None = None) -> Eligibility:
    """Eligibility at the end of the little network's log."""
    table = (loads or LoadTable()).loads
    return eligibility(net.replica().registry, wanted, table, now=net.now)


def reasons(found: Eligibility) -> dict[str, str]:
    """Reason by node."""
    return {exclusion.node: exclusion.reason for exclusion in found.excluded}


def test_healthy_nodes_are_eligible() -> None:
    """Both nodes of a healthy network may serve, gateways and full nodes are not even looked at."""
    net = LittleNetwork()
    found = judged(net)
    assert {node.node for node in found.eligible} == {node.address for node in net.nodes}
    assert found.excluded == ()
    found.require()


def _retire(net: LittleNetwork) -> None:
    net.add(net.retirement(net.nodes[0]))


def _compromise(net: LittleNetwork) -> None:
    net.add(net.compromise(net.nodes[0], 0))


@pytest.mark.parametrize(("change", "reason"), [(_retire, "retired"), (_compromise, "compromised")])
def test_log_entries_exclude_one_node(change: Callable[[LittleNetwork], None], reason: str) -> None:
    """A retirement or compromise in the log excludes that node by name and leaves the other."""
    net = LittleNetwork()
    change(net)
    found = judged(net)
    assert reasons(found) == {hex0x(net.nodes[0].address): reason}
    assert [node.node for node in found.eligible] == [net.nodes[1].address]


def test_an_older_key_at_the_same_endpoint_is_superseded() -> None:
    """A restarted enclave has new keys: only the newest of one owner at one endpoint is asked."""
    net = LittleNetwork(nodes=3)
    registry = net.replica().registry
    old, new, stranger = (registry.members[node.address] for node in net.nodes)
    assert old.bundle is not None
    assert new.bundle is not None
    assert stranger.bundle is not None
    new.owner = old.owner
    for member in (new, stranger):
        assert member.bundle is not None
        member.bundle = msgspec.structs.replace(member.bundle, endpoint=old.bundle.endpoint)
    found = eligibility(registry, DIGITS, LoadTable().loads, now=net.now)
    assert reasons(found) == {hex0x(old.key): "superseded"}


def test_a_revoked_measurement_excludes_all_that_ran_it() -> None:
    """After a revocation no node with that image is asked, and the refusal counts them."""
    net = LittleNetwork()
    net.add(net.revocation(net.measurement, len(net.leaves)))
    found = judged(net)
    assert set(reasons(found).values()) == {"measurement_revoked"}
    with pytest.raises(Unavailable, match=r"No node can serve digits: 2 measurement_revoked\."):
        found.require()


def test_old_evidence_excludes_until_refreshed() -> None:
    """Evidence past its age, or about to pass it, excludes; a refreshed registration brings a node back."""
    net = LittleNetwork()
    net.tick(24 * HOUR - 30_000)
    assert set(reasons(judged(net)).values()) == {"evidence_stale"}
    net.register(net.nodes[1])
    assert reasons(judged(net)) == {hex0x(net.nodes[0].address): "evidence_stale"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: setattr(m, "faults", [3]), "faulted"),
        (lambda m: setattr(m, "evidence_verdict", None), "evidence_missing"),
        (lambda m: setattr(m, "bundle", None), "bundle_missing"),
        (
            lambda m: setattr(m, "evidence_verdict", msgspec.structs.replace(m.evidence_verdict, ok=False)),
            "evidence_rejected",
        ),
        (
            lambda m: setattr(m, "bundle", msgspec.structs.replace(m.bundle, artifacts=())),
            "model_not_offered",
        ),
    ],
)
def test_other_reasons(change: Callable[[object], None], reason: str) -> None:
    """Faults, missing or rejected evidence and a model that a node does not hold exclude it."""
    net = LittleNetwork()
    registry = net.replica().registry
    change(registry.members[net.nodes[0].address])
    found = eligibility(registry, DIGITS, {}, now=net.now)
    assert reasons(found) == {hex0x(net.nodes[0].address): reason}


def test_a_mode_is_offered_by_what_runs_the_artifact() -> None:
    """An artifact of integers is offered as replay by every node that holds it, and by no provider."""
    net = LittleNetwork(found=False)
    net.manifest = msgspec.structs.replace(net.manifest, format="integer-exact")
    net.found()
    found = judged(net, Wanted("digits", Mode.REPLAY))
    assert {node.node for node in found.eligible} == {node.address for node in net.nodes}
    assert found.modes == ("tee", "replay")
    registry = net.replica().registry
    member = registry.members[net.nodes[0].address]
    member.bundle = msgspec.structs.replace(member.bundle, artifacts=(), upstreams=("digits",))
    excluded = reasons(eligibility(registry, Wanted("digits", Mode.REPLAY), {}, now=net.now))
    assert excluded == {hex0x(net.nodes[0].address): "mode_not_offered"}


def test_what_the_client_asks_for_excludes() -> None:
    """A mode or an assurance that nobody offers leaves nobody; an unknown model is not found."""
    net = LittleNetwork()
    assert set(reasons(judged(net, Wanted("digits", Mode.ZKML))).values()) == {"mode_not_offered"}
    with pytest.raises(ModeUnavailable) as refused:
        judged(net, Wanted("digits", Mode.ZKML)).require()
    assert refused.value.reason == "mode_unavailable"
    assert "digits in the mode zkml; its modes are: tee." in refused.value.message
    hardware = Wanted("digits", assurance=Assurance.HARDWARE)
    assert set(reasons(judged(net, hardware)).values()) == {"assurance_too_low"}
    with pytest.raises(NotFound) as caught:
        judged(net, Wanted("no-such")).require()
    assert caught.value.reason == "model_not_found"


def test_load_excludes_full_and_unreachable_nodes() -> None:
    """A full node is at capacity, an unreachable one is left alone until its pause is over."""
    net = LittleNetwork()
    table = LoadTable()
    table.of(net.nodes[0].address).in_flight = 8
    table.failed(net.nodes[1].address, net.now, unreachable=True)
    found = judged(net, loads=table)
    assert set(reasons(found).values()) == {"at_capacity", "not_reachable"}
    assert found.refusal().message == "No node can serve digits: 1 at_capacity, 1 not_reachable."
    net.tick(500)
    assert [node.node for node in judged(net, loads=table).eligible] == [net.nodes[1].address]


def test_pauses_double_and_end_with_an_answer() -> None:
    """Each further failure doubles the pause up to half a minute; one answer ends it."""
    table, node = LoadTable(), b"n"
    pauses = []
    for _ in range(9):
        table.failed(node, 0, unreachable=True)
        pauses.append(table.of(node).avoid_until)
    assert pauses == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
    table.answered(node, 5.0, 1)
    assert table.of(node).reachable(1)


def test_failing_fast_costs_more_than_answering_slowly() -> None:
    """An error counts as ten seconds, so a black hole does not attract requests."""
    table = LoadTable()
    table.failed(b"fast failure", 0, unreachable=False)
    table.answered(b"slow", 900.0, 0)
    assert table.of(b"fast failure").latency == ERROR_MS
    assert table.of(b"slow").cost() < table.of(b"fast failure").cost()


def test_a_lease_is_returned_on_every_way_out() -> None:
    """In-flight counts go back also when the block raises."""
    table = LoadTable()

    def fails() -> None:
        with table.lease(b"n"):
            assert table.of(b"n").in_flight == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert table.of(b"n").in_flight == 0


def test_two_choices_are_fair_and_follow_load() -> None:
    """Equal nodes are asked equally often; of two drawn the busier one comes second; none comes twice."""
    net = LittleNetwork(nodes=4)
    found = judged(net).eligible
    chance = random.Random(1)
    first = Counter(choose(found, {}, chance.randrange)[0].node for _ in range(4000))
    assert all(850 < count < 1150 for count in first.values())
    busy = found[2].node
    for _ in range(200):
        order = [node.node for node in choose(found, {busy: NodeLoad(in_flight=5)}, chance.randrange)]
        assert len(set(order)) == 3
        assert order[0] != busy


def test_a_ticket_commits_to_candidates_and_exclusions() -> None:
    """The ticket's signature recovers to the gateway and its digest is that of the exact document."""
    net = LittleNetwork()
    net.add(net.retirement(net.nodes[0]))
    found = judged(net)
    document = candidates_document(found, found.eligible, Mode.TEE)
    size, root = net.beacon()
    place = Place(net.genesis.network, net.genesis.chain_id, size, root)
    signed = sign_ticket(document, place, net.gateway.key, now=net.now, nonce=bytes(32))
    ticket = Ticket.unpack(signed.packed[:-65])
    assert recover_statement(ticket, net.genesis.chain_id, signed.packed[-65:]) == net.gateway.address
    assert ticket.candidates == Candidates.decode(signed.candidates).digest()
    assert [e.reason for e in Candidates.decode(signed.candidates).excluded] == ["retired"]
    assert ticket.issued == net.now < ticket.expires


def test_requests_that_would_say_the_same_share_a_ticket_for_a_while() -> None:
    """A hundred requests take one signature; other words, another network and time take another."""
    net = LittleNetwork()
    size, root = net.beacon()
    place = Place(net.genesis.network, net.genesis.chain_id, size, root)
    signer = _Counting(net.gateway.key)
    tickets = Tickets(signer)
    found = judged(net)
    one = candidates_document(found, found.eligible, Mode.TEE)
    other = candidates_document(found, found.eligible[::-1], Mode.TEE)

    def of(document: Candidates, at: Place = place, after: int = 0) -> bytes:
        return tickets.of(document, at, now=net.now + after, nonce=bytes([signer.signed]) * 32).packed

    first = of(one)
    assert {of(one, after=number) for number in range(100)} == {first}
    assert signer.signed == 1
    assert of(one, msgspec.structs.replace(place, beacon_size=size + 1), after=1) == first
    assert of(other) != first
    assert of(one, msgspec.structs.replace(place, chain_id=7)) != first
    assert signer.signed == 3
    late = of(one, after=SHARED_MS)
    assert late != first
    assert Ticket.unpack(late[:-65]).issued == net.now + SHARED_MS
    assert of(one, after=-1) != late, "a clock that was set back gets no ticket from the future"
    assert SHARED_MS * 2 < LIFE_MS


class _Counting:
    """A signer that counts."""

    def __init__(self, key: Key) -> None:
        self.address, self.signed, self._key = key.address, 0, key

    def sign(self, digest: bytes) -> bytes:
        """Sign and count."""
        self.signed += 1
        return self._key.sign(digest)


def test_a_pinned_request_needs_the_artifact_that_the_label_points_to() -> None:
    """It is met by the label's artifact alone; a label that moved says so, before anybody is asked."""
    net = LittleNetwork()
    artifact = net.manifest.artifact
    judged(net, Wanted("digits", artifact=artifact)).require()
    with pytest.raises(PinNotMet) as caught:
        judged(net, Wanted("digits", artifact="0x" + "07" * 32)).require()
    assert caught.value.reason == "model_moved"
    assert judged(net).artifact == artifact


def test_who_only_passes_a_label_on_cannot_meet_a_pin() -> None:
    """Such a node is left out by name; where there are no others, no pin can be met."""
    net = LittleNetwork()
    registry, artifact = net.replica().registry, net.manifest.artifact
    first = registry.members[net.nodes[0].address]
    assert first.bundle is not None
    first.bundle = msgspec.structs.replace(first.bundle, artifacts=(), upstreams=("digits", "gpt"))
    found = eligibility(registry, Wanted("digits", artifact=artifact), {}, now=net.now)
    assert reasons(found) == {hex0x(net.nodes[0].address): "artifact_not_held"}
    assert reasons(eligibility(registry, DIGITS, {}, now=net.now)) == {}
    with pytest.raises(PinNotMet) as caught:
        eligibility(registry, Wanted("gpt", artifact=artifact), {}, now=net.now).require()
    assert caught.value.reason == "model_not_pinnable"
