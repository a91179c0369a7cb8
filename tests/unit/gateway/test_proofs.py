"""Proofs from what is followed: against verified checkpoints alone; leaves within bounds."""

from __future__ import annotations

from typing import cast

import pytest

from hallmark.core.errors import NotFound, Unavailable
from hallmark.core.merkle import leaf_hash, verify_inclusion
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import verify_proof
from hallmark.services.following.log_client import LogClient
from hallmark.services.following.proofs import FollowedProofs
from hallmark.testing.followed_log import FollowedLogFixture


@pytest.fixture
def watching() -> FollowedLogFixture:
    """A followed log; what was followed before the proofs were asked for is not among them."""
    return FollowedLogFixture()


def proofs_of(watching: FollowedLogFixture, recent_bytes: int = 1 << 20) -> FollowedProofs:
    """What is tested."""
    return FollowedProofs(watching.follower, cast(LogClient, watching.log), recent_bytes)


async def test_a_proof_is_the_one_that_the_log_gives(watching: FollowedLogFixture) -> None:
    """Byte for byte, for every entry, and it verifies under the policy."""
    proofs = proofs_of(watching)
    await watching.follow()
    policy = Policy.parse(watching.notary.policy_text)
    for index, leaf in enumerate(watching.net.leaves):
        text = await proofs.proof(index)
        assert text == await watching.log.proof(index)
        assert verify_proof(policy, leaf, text.encode()).index == index


async def test_what_no_quorum_covers_has_no_proof(watching: FollowedLogFixture) -> None:
    """Neither before anything was followed nor beyond the checkpoint; nobody is asked instead."""
    proofs = proofs_of(watching)
    size = watching.net.tree.size
    with pytest.raises(Unavailable, match="No cosigned checkpoint"):
        await proofs.proof(0, 1)
    await watching.follow()
    watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.follow()
    with pytest.raises(Unavailable, match="No cosigned checkpoint"):
        await proofs.proof(size, 1)
    await watching.witness()
    assert f"index {size}" in await proofs.proof(size, 1)


async def test_paths_lead_to_earlier_roots_too(watching: FollowedLogFixture) -> None:
    """As the chain holds them; not beyond what was read."""
    proofs, net = proofs_of(watching), watching.net
    await watching.follow()
    size = net.tree.size
    path = [bytes.fromhex(node[2:]) for node in await proofs.path(0, size - 1)]
    verify_inclusion(leaf_hash(net.leaves[0]), 0, size - 1, path, net.tree.root(size - 1))
    with pytest.raises(NotFound):
        await proofs.path(0, size + 1)


async def test_leaves_that_came_lately_are_here_and_older_ones_at_the_log(
    watching: FollowedLogFixture,
) -> None:
    """Within so many bytes; what is not here any more is asked for."""
    net = watching.net
    proofs = proofs_of(watching, 2 * max(map(len, net.leaves)) - 1)
    await watching.follow()
    size, watching.log.down = net.tree.size, True
    assert await proofs.leaves(size - 1, size) == net.leaves[-1:]
    assert await proofs.leaves(size, size) == []
    assert sum(map(len, proofs._recent)) < 2 * max(map(len, net.leaves))
    with pytest.raises(Unavailable):
        await proofs.leaves(0, 1)
    watching.log.down = False
    assert await proofs.leaves(0, size) == net.leaves
