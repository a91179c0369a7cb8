"""A sealed route as the explorer tells it: who saw what, and what the log says of who was left out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import Candidates, Exclusion
from hallmark.routing.steering import Doubt
from hallmark.services.explorer import receipt_story
from hallmark.services.explorer.shared_views import RouteView, SealedView
from hallmark.testing.explorer import ExplorerFixture
from hallmark.testing.followed_log import FollowedLogFixture
from hallmark.testing.network import SEALING, LittleNetwork, Party, sealed_path


@pytest.fixture
async def watching() -> AsyncIterator[FollowedLogFixture]:
    """A watched network of three nodes that take sealed requests, two minutes old."""
    found = FollowedLogFixture(LittleNetwork(nodes=3, sealing=SEALING))
    found.net.tick(2 * 60_000)
    yield found
    found.database.close()


async def route(watching: FollowedLogFixture, **answer: object) -> RouteView:
    """The route of a fresh sealed answer of the first node."""
    net = watching.net
    index = net.add(net.receipt_entry(net.nodes[0], **{"sealed": sealed_path(), **answer}))
    await watching.witness()
    assert net.replica().failures(index) == ()
    context = receipt_story.of_logged(watching.watch.judge.logged(index))
    return receipt_story.route(watching.watch, context)


async def test_every_party_with_what_it_saw(watching: FollowedLogFixture) -> None:
    """The relay by the client's word, the gateway beside the path, the host that could read memory."""
    found = await route(watching)
    path = sealed_path()
    assert found.sealed == SealedView(path.configuration, path.window, path.suite, path.size, path.relay)
    told = {hop.role: hop.told for hop in found.hops}
    assert list(told) == ["client", "relay", "gateway", "node", "enclave"]
    assert told["relay"] == "saw an address, a size class of 2048 bytes and a time"
    assert told["gateway"] == "saw a route request and not the prompt"
    assert told["node"] == "could read the prompt: simulated hardware"
    assert told["enclave"] == "saw the prompt in clear"
    named = {hop.role: hop for hop in found.hops}
    assert named["relay"].name == "https://relay.example, by the client's word"
    assert [hop.role for hop in found.hops if hop.beside] == ["gateway"]


async def test_a_relay_that_was_not_named(watching: FollowedLogFixture) -> None:
    """Nobody invents one, and without a ticket no gateway is named."""
    found = await route(watching, direct=True, sealed=sealed_path(relay=""))
    assert [hop.name for hop in found.hops if hop.role == "relay"] == ["not named by the client"]
    assert "gateway" not in {hop.role for hop in found.hops}


@pytest.mark.parametrize(
    ("reason", "doubt"),
    [("at_capacity", Doubt.WORD), ("evidence_stale", Doubt.UNFOUNDED), ("", Doubt.UNNAMED)],
)
async def test_what_the_log_says_of_who_was_left_out(
    watching: FollowedLogFixture, reason: str, doubt: Doubt
) -> None:
    """Beside each reason stands whether the log gives it too; who is not named at all is listed."""
    net, honest = watching.net, watching.net.answers.candidates
    other = hex0x(net.nodes[2].address)

    def steered(node: Party) -> Candidates:
        made = honest(node)
        offered = tuple(each for each in made.candidates if each.node != other)
        excluded = (Exclusion(other, reason),) if reason else ()
        return msgspec.structs.replace(made, candidates=offered, excluded=excluded)

    net.answers.candidates = steered  # type: ignore[method-assign]
    (left,) = (await route(watching)).left
    assert (left.node, left.reason, left.doubt) == (other, reason or "unnamed", doubt.sentence)


async def test_the_network_page_says_who_takes_sealed_requests() -> None:
    """By registered bundles: window, its end, and the root of all keys; none when the schedule is over."""
    exploring = ExplorerFixture(LittleNetwork(sealing=SEALING))
    await exploring.witness()
    rows = (await exploring.explorer.network()).sealed
    assert {row.node for row in rows} == {hex0x(node.address) for node in exploring.net.nodes}
    assert {(row.root, row.window, row.until) for row in rows} == {
        (SEALING.root, 0, SEALING.since + SEALING.every)
    }
    exploring.net.tick(SEALING.count * SEALING.every)
    assert {(row.window, row.until) for row in (await exploring.explorer.network()).sealed} == {(-1, 0)}
    exploring.database.close()


async def test_a_network_without_keys_names_nobody() -> None:
    """A plain node is not listed."""
    exploring = ExplorerFixture()
    await exploring.witness()
    assert (await exploring.explorer.network()).sealed == ()
    exploring.database.close()
