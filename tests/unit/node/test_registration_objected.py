"""What a host finds in the log against its enclave's registration."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hallmark.http.client import Pool
from hallmark.services.node.forwarder import LogClient
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.network import ORIGIN


@pytest.fixture
async def local() -> AsyncIterator[LocalNetwork]:
    """A log with two nodes."""
    async with LocalNetwork(with_gateway=False) as network:
        yield network


async def test_objections_to_a_registration_are_found(local: LocalNetwork) -> None:
    """Each full node's reason, of this entry alone; none where none objects."""
    net, pool = local.net, Pool()
    good, index = net.nodes[1].registered, net.restart(net.nodes[0], epoch=1)
    for author in net.full_nodes[:2]:
        net.add(net.verdict(author, index, "epoch_taken"))
    local.log.witness()
    client = LogClient(pool, local.log_url, ORIGIN)
    try:
        assert await client.objections(index) == {
            author.address: "epoch_taken" for author in net.full_nodes[:2]
        }
        assert await client.objections(good) == {}
    finally:
        await pool.aclose()
