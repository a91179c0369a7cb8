"""A gateway that steers is noticed by its own tickets, which the client holds against the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.unit.sealing_client.conftest import sealed_client

from hallmark import AsyncClient
from hallmark.core.document import hex0x
from hallmark.core.documents import Candidates, Exclusion
from hallmark.core.errors import InvalidInput, Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.routing.steering import SENTENCES, Doubt
from hallmark.routing.ticket import Place, sign_ticket
from hallmark.services.sdk import gateway_watch
from hallmark.services.sdk.gateway_watch import Doubted
from hallmark.testing.sealed_network import SealedNetwork, only

Route = dict[str, Any]


async def asked(client: AsyncClient, times: int = 1) -> None:
    """Ask, and have an answer that holds."""
    for _ in range(times):
        assert (await client.ask("Which?", model="digits")).receipt.id


def later(local: SealedNetwork, client: AsyncClient) -> None:
    """Let the nodes' evidence grow older than what gateways' clocks may be off, for everybody."""
    local.net.tick(2 * 60_000)
    client.way.path._clock = lambda: local.net.now  # type: ignore[attr-defined]


async def test_an_honest_gateway_is_in_no_doubt(local: SealedNetwork, client: AsyncClient) -> None:
    """Each ticket names every node, and the log agrees. A second look goes on from the first."""
    later(local, client)
    await asked(client, 2)
    for more in (2, 3):
        judged = await client.steering(local.log_url)
        assert (judged.tickets, judged.doubted) == (more, ())
        assert judged.offered == {hex0x(node.address): (more, more) for node in local.net.nodes}
        await asked(client)


def _silent(local: SealedNetwork, route: Route) -> Candidates:
    return only(route)


def _invented(local: SealedNetwork, route: Route) -> Candidates:
    told = Candidates.decode(route["candidates"].encode())
    left = Exclusion(told.candidates[1].node, "retired")
    return msgspec.structs.replace(only(route), excluded=(left,))


def _word(local: SealedNetwork, route: Route) -> Candidates:
    told = Candidates.decode(route["candidates"].encode())
    left = Exclusion(told.candidates[1].node, "at_capacity")
    return msgspec.structs.replace(only(route), excluded=(left,))


@pytest.mark.parametrize(
    ("lie", "reason", "doubt"),
    [
        (_silent, "", Doubt.UNNAMED),
        (_invented, "retired", Doubt.UNFOUNDED),
        (_word, "at_capacity", Doubt.WORD),
    ],
)
async def test_a_gateway_that_leaves_a_node_out(
    local: SealedNetwork,
    client: AsyncClient,
    lie: Callable[[SealedNetwork, Route], Candidates],
    reason: str,
    doubt: Doubt,
) -> None:
    """The question is answered, since the ticket holds by itself; the log shows what the gateway did. What
    only the gateway can know shows nothing, and is named.
    """
    told: list[Candidates] = []

    def ticket(route: Route) -> Route:
        told.append(lie(local, route))
        return local.ticket(told[-1])

    later(local, client)
    local.directory.ticket = ticket
    await asked(client)
    judged = await client.steering(local.log_url)
    offered = {one.node for one in told[0].candidates}
    (node,) = {hex0x(one.address) for one in local.net.nodes} - offered
    (ticket_,) = client.way.tickets or ()
    expected = Doubted(
        hex0x(local.net.gateway.address), ticket_.digest, node, reason, SENTENCES[doubt], shows=doubt.shows
    )
    assert judged.doubted == (expected,)
    assert judged.steered == ((expected,) if doubt.shows else ())


@pytest.mark.parametrize(
    ("size", "told", "shows"), [(0, gateway_watch.ANOTHER_LOG, True), (1000, gateway_watch.AHEAD, False)]
)
async def test_a_ticket_of_another_log(
    local: SealedNetwork, client: AsyncClient, size: int, told: str, *, shows: bool
) -> None:
    """A state that the log never was in shows it; one that the log may come to does not."""
    genesis = local.net.genesis
    place = Place(
        genesis.network, genesis.chain_id, size or local.net.tree.size, sha256(b"another log's root")
    )

    def ticket(route: Route) -> Route:
        candidates = Candidates.decode(route["candidates"].encode())
        signed = sign_ticket(
            candidates, place, local.net.gateway.key, now=local.net.now, nonce=sha256(b"nonce")
        )
        return {"ticket": hex0x(signed.packed), "candidates": signed.candidates.decode()}

    local.directory.ticket = ticket
    await asked(client)
    judged = await client.steering(local.log_url, timeout=1.0)
    assert [(one.node, one.sentence, one.shows) for one in judged.doubted] == [("", told, shows)]


async def test_a_log_that_lies_is_no_witness(local: SealedNetwork, client: AsyncClient) -> None:
    """Its leaves must be those that a quorum cosigned."""
    await asked(client)
    local.net.leaves[3] = local.net.leaves[4]
    with pytest.raises(VerificationFailed, match="log_distrusted"):
        await client.steering(local.log_url)


async def test_what_it_needs(local: SealedNetwork, client: AsyncClient) -> None:
    """A log, one that can be reached, and tickets of its own."""
    with pytest.raises(InvalidInput, match="no_log"):
        await client.steering()
    with pytest.raises(Unavailable, match="log_not_reached"):
        await client.steering("http://127.0.0.1:9", timeout=0.2)
    async with AsyncClient(local.url, verifier=client.verifier) as plain:
        with pytest.raises(InvalidInput, match="steering_needs_sealing"):
            await plain.steering(local.log_url)
    async with sealed_client(local) as fresh:
        assert (await fresh.steering(local.log_url)).tickets == 0
