"""Tickets of a gateway held against the log: who was left out without a reason that holds."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import Candidate, Candidates, Exclusion
from hallmark.core.receipt import Mode
from hallmark.routing.choice import choose
from hallmark.routing.eligibility import Wanted, candidates_document, eligibility
from hallmark.routing.load import LoadTable
from hallmark.routing.steering import Doubt, Left, Seen, offered_of, steering
from hallmark.testing.network import HOUR, LittleNetwork

replace = msgspec.structs.replace


def ticket(net: LittleNetwork, chance: random.Random, loads: LoadTable | None = None) -> Seen:
    """What an honest gateway signs now."""
    registry, table = net.replica().registry, (loads or LoadTable()).loads
    found = eligibility(registry, Wanted("digits"), table, now=net.now)
    order = choose(found.eligible, table, chance.randrange)
    return Seen(net.now, registry.size, candidates_document(found, order, order[0].bundle.mode))


def network(nodes: int = 5) -> LittleNetwork:
    """More nodes than a ticket has room for, one of them retired."""
    net = LittleNetwork(nodes=nodes)
    net.tick(2 * 60_000)
    net.add(net.retirement(net.nodes[-1]))
    return net


def node(net: LittleNetwork, number: int) -> str:
    """A node's key as tickets write it."""
    return hex0x(net.nodes[number].address)


@pytest.mark.parametrize("nodes", [2, 3, 4, 5, 8])
def test_an_honest_gateway_is_in_no_doubt(nodes: int) -> None:
    """Whatever is drawn, and whatever the log says later."""
    net, chance = network(nodes), random.Random(1)
    tickets = [ticket(net, chance) for _ in range(20)]
    assert steering(tickets, net.replica().registry) == ()
    net.add(net.retirement(net.nodes[0]))
    net.register(type(net.nodes[0])("newcomer", net.nodes[0].role))
    net.add(net.revocation(net.measurement, 0))
    net.add(net.compromise(net.nodes[-2], 0))
    net.tick(10)
    net.register(net.nodes[1])
    assert steering(tickets, net.replica().registry) == ()


def test_load_and_reach_are_the_gateways_word() -> None:
    """They are named, and show nothing."""
    net, loads = network(3), LoadTable()
    for _ in range(99):
        loads.of(net.nodes[0].address).in_flight += 1
    seen = ticket(net, random.Random(1), loads)
    (left,) = steering([seen], net.replica().registry)
    assert left == Left(0, node(net, 0), "at_capacity", Doubt.WORD)
    assert not left.doubt.shows


def _kept_silent(net: LittleNetwork, honest: Candidates) -> Candidates:
    return replace(honest, candidates=honest.candidates[1:])


def _invented(net: LittleNetwork, honest: Candidates) -> Candidates:
    first = honest.candidates[0]
    excluded = (*honest.excluded, Exclusion(first.node, "evidence_stale"))
    return replace(honest, candidates=honest.candidates[1:], excluded=excluded)


def _of_no_mode(net: LittleNetwork, honest: Candidates) -> Candidates:
    first = honest.candidates[0]
    excluded = (*honest.excluded, Exclusion(first.node, "mode_not_offered"))
    return replace(honest, candidates=honest.candidates[1:], excluded=excluded)


def _as_much_assured(net: LittleNetwork, honest: Candidates) -> Candidates:
    first = honest.candidates[0]
    excluded = (*honest.excluded, Exclusion(first.node, "assurance_too_low"))
    return replace(honest, candidates=honest.candidates[1:], excluded=excluded)


def _unknown_reason(net: LittleNetwork, honest: Candidates) -> Candidates:
    first = honest.candidates[0]
    excluded = (*honest.excluded, Exclusion(first.node, "not_liked"))
    return replace(honest, candidates=honest.candidates[1:], excluded=excluded)


def _retired_one(net: LittleNetwork, honest: Candidates) -> Candidates:
    bundle = net.nodes[-1].bundle
    assert bundle is not None
    gone = Candidate(node(net, -1), hex0x(bundle.digest()))
    return replace(honest, candidates=(*honest.candidates[:2], gone), excluded=())


@pytest.mark.parametrize(
    ("steer", "doubt"),
    [
        (_kept_silent, Doubt.UNNAMED),
        (_invented, Doubt.UNFOUNDED),
        (_of_no_mode, Doubt.UNFOUNDED),
        (_as_much_assured, Doubt.UNFOUNDED),
        (_unknown_reason, Doubt.UNFOUNDED),
        (_retired_one, Doubt.INELIGIBLE),
    ],
)
def test_a_gateway_that_steers_is_shown_to(
    steer: Callable[[LittleNetwork, Candidates], Candidates], doubt: Doubt
) -> None:
    """One ticket is enough, when the log can tell."""
    net = network(4)
    honest = ticket(net, random.Random(1))
    steered = replace(honest, candidates=steer(net, honest.candidates))
    found = steering([honest, steered], net.replica().registry)
    assert [(left.ticket, left.doubt) for left in found] == [(1, doubt)]
    assert found[0].doubt.shows
    assert found[0].doubt.sentence


def test_a_retired_node_that_is_not_named_is_missing() -> None:
    """Silence about one who may not serve hides nothing from a client, but is not what a ticket says."""
    net = network(4)
    honest = ticket(net, random.Random(1))
    silent = replace(honest, candidates=replace(honest.candidates, excluded=()))
    (left,) = steering([silent], net.replica().registry)
    assert (left.node, left.doubt) == (node(net, -1), Doubt.UNNAMED)


def test_a_clock_that_is_a_minute_off_excuses() -> None:
    """Evidence that runs out about now may be called stale or not."""
    net = LittleNetwork()
    net.tick(24 * HOUR - 60_000)
    honest = ticket(net, random.Random(1))
    stale = tuple(Exclusion(node(net, at), "evidence_stale") for at in range(1))
    offered = tuple(each for each in honest.candidates.candidates if each.node != stale[0].node)
    seen = replace(honest, candidates=replace(honest.candidates, candidates=offered, excluded=stale))
    assert steering([seen], net.replica().registry) == ()
    (left,) = steering([replace(seen, issued=seen.issued - 2 * 60_000)], net.replica().registry)
    assert left.doubt is Doubt.UNFOUNDED


def test_another_mode_is_a_reason() -> None:
    """A node of another mode than the candidates' was left out by what was asked for."""
    net = LittleNetwork(nodes=3)
    net.tick(2 * 60_000)
    honest = ticket(net, random.Random(1))
    registry = net.replica().registry
    member = registry.members[net.nodes[0].address]
    assert member.bundle is not None
    member.bundle = replace(member.bundle, mode=Mode.VANILLA)
    offered = tuple(each for each in honest.candidates.candidates if each.node != node(net, 0))
    excluded = (Exclusion(node(net, 0), "mode_not_offered"),)
    seen = replace(honest, candidates=replace(honest.candidates, candidates=offered, excluded=excluded))
    assert steering([seen], registry) == ()


def test_who_is_never_drawn_shows_in_the_figures() -> None:
    """Over many tickets every eligible node is offered about as often; one that is passed over is not."""
    net, chance = network(6), random.Random(1)
    tickets = [ticket(net, chance) for _ in range(300)]
    registry = net.replica().registry
    fair = offered_of(tickets, registry)
    assert set(fair) == {node(net, at) for at in range(5)}
    assert all(of == 300 and 140 < offered < 220 for offered, of in fair.values())
    loved = [each for each in tickets if node(net, 0) not in {c.node for c in each.candidates.candidates}]
    assert offered_of(loved, registry)[node(net, 0)] == (0, len(loved))
    assert steering(loved, registry) == ()


def test_a_pin_leaves_out_only_who_does_not_run_the_artifact() -> None:
    """That a node only passes the label on stands in its bundle; of one that runs it, it is unfounded."""
    net = network(3)
    registry, artifact = net.replica().registry, net.manifest.artifact
    passing = registry.members[net.nodes[0].address]
    assert passing.bundle is not None
    passing.bundle = replace(passing.bundle, artifacts=(), upstreams=("digits",))
    wanted = Wanted("digits", artifact=artifact)
    found = eligibility(registry, wanted, {}, now=net.now)
    honest = candidates_document(found, found.eligible, Mode.TEE)
    said = {each.node: each.reason for each in honest.excluded}
    assert said == {node(net, 0): "artifact_not_held", node(net, 2): "retired"}
    assert steering([Seen(net.now, registry.size, honest)], registry) == ()
    steered = replace(
        honest, candidates=(), excluded=(*honest.excluded, Exclusion(node(net, 1), "artifact_not_held"))
    )
    (left,) = steering([Seen(net.now, registry.size, steered)], registry)
    assert left == Left(0, node(net, 1), "artifact_not_held", Doubt.UNFOUNDED)
