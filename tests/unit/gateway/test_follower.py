"""Following the log: only what the quorum cosigned, only what hashes to it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hallmark.services.log.followers import Followers
from hallmark.testing.local_network import LocalNetwork


async def failing(local: LocalNetwork) -> None:
    """Wait until the gateway distrusts the log."""
    async with asyncio.timeout(60):
        while not local.gateway.follower.distrust:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_mirror_that_serves_tiles_only_will_do(ask: Any, local: LocalNetwork) -> None:
    """Who neither tells nor serves ranges is asked, and leaves come from entry bundles: the same result."""
    local.log.ranges = local.log.tells = False
    local.log.followers.close()
    local.net.add(local.net.retirement(local.net.nodes[0]))
    local.log.witness()
    assert await local.gateway.follower.reached(local.net.tree.size, 5)
    assert (await ask.get("/v1/models"))[1]["data"][0]["hallmark"]["nodes"] == 1


async def test_what_no_quorum_cosigned_is_not_followed(ask: Any, local: LocalNetwork) -> None:
    """A retirement that only the log knows changes nothing until the quorum has cosigned it."""
    local.net.add(local.net.retirement(local.net.nodes[0]))
    assert not await local.gateway.follower.reached(local.net.tree.size, 0.05)
    assert (await ask.get("/v1/models"))[1]["data"][0]["hallmark"]["nodes"] == 2


async def test_leaves_that_are_not_the_cosigned_ones_end_all_trust(ask: Any, local: LocalNetwork) -> None:
    """A log that serves other leaves than its quorum cosigned is distrusted, and nothing is routed by it."""
    local.net.add(local.net.retirement(local.net.nodes[0]))
    local.net.leaves[-1] = local.net.leaves[-1][:-1] + b"x"
    local.log.witness()
    await failing(local)
    status, _, body = await ask.chat()
    assert (status, json.loads(body)["error"]["code"]) == (503, "log_distrusted")
    status, said = await ask.get("/healthz")
    assert (status, said["state"], said["reason"]) == (503, "failed", "log_root_differs")


async def test_a_log_that_breaks_its_rules_ends_all_trust(ask: Any, local: LocalNetwork) -> None:
    """A log whose time runs backwards is distrusted, although a quorum cosigned it."""
    local.net.add(local.net.retirement(local.net.nodes[0]), admitted=1)
    local.log.witness()
    await failing(local)
    assert local.gateway.follower.distrust == "log_time_reversed"
    assert (await ask.chat())[0] == 503


async def test_what_comes_is_told_and_nothing_is_asked(local: LocalNetwork) -> None:
    """One response serves the gateway for as long as it runs: ten checkpoints cost the log no request."""
    local.log.paths.clear()
    for _ in range(10):
        local.net.add(local.net.receipt_entry(local.net.nodes[0]))
        local.log.witness()
        assert await local.gateway.follower.reached(local.net.tree.size, 5)
    assert local.log.paths == []


async def test_a_log_that_ends_its_stream_is_followed_again_from_there(local: LocalNetwork) -> None:
    """The next stream begins at what was folded: nothing is read twice."""
    size = local.net.tree.size
    local.log.paths.clear()
    local.log.followers.close()
    local.log.followers = Followers()
    local.net.add(local.net.receipt_entry(local.net.nodes[0]))
    local.log.witness()
    assert await local.gateway.follower.reached(size + 1, 5)
    assert set(local.log.paths) == {"/follow"}


async def test_a_quiet_log_is_no_trouble(
    ask: Any, local: LocalNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing new comes for a while, the gateway stays ready."""
    monkeypatch.setattr("hallmark.services.following.follower.WAIT_MS", 1)
    local.log.tells = False
    local.log.followers.close()
    await asyncio.wait_for(local.gateway.follower.pulls.wait(), 60)
    local.net.add(local.net.receipt_entry(local.net.nodes[0]))
    local.log.witness()
    assert await local.gateway.follower.reached(local.net.tree.size, 5)
    for _ in range(20):
        assert (await ask.get("/healthz"))[1]["state"] == "ready"
