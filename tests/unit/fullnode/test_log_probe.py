"""The log is asked how large it is when somebody wants to know, and not by a clock."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from hallmark.core.errors import Unavailable
from hallmark.services.following.log_client import LogClient
from hallmark.services.fullnode.log_probe import LogWatch
from hallmark.services.fullnode.log_relation import LogRelation

LOOK_S = 10.0


class Head:
    """A log's head: its size alone."""

    def __init__(self, size: int) -> None:
        self.size = size


class Scene:
    """A watch, a log of `size` entries that may be gone, and a clock."""

    def __init__(self) -> None:
        self.now, self.size, self.gone, self.asked = 1_000_000, 5, False, 0
        self.standing = LogRelation(5_000)
        self.watch = LogWatch(cast(LogClient, self), self.standing, lambda: self.now, LOOK_S)

    async def head(self) -> Head:
        """What the log client is asked for."""
        self.asked += 1
        if self.gone:
            raise Unavailable("log_unreachable", "The log cannot be reached.")
        return Head(self.size)

    async def want(self, times: int = 1) -> int:
        """Somebody asks how the node stands, so often; how often the log was asked in all."""
        for _ in range(times):
            self.watch.wanted()
            for _ in range(3):
                await asyncio.sleep(0)
        return self.asked


async def test_a_log_is_asked_only_when_somebody_wants_to_know() -> None:
    """Nobody asks: no question, and nothing in the event loop that would wake it. One who asks often: one
    question in ten seconds.
    """
    scene = Scene()
    running = asyncio.create_task(scene.watch.run())
    await asyncio.sleep(0)
    assert not asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # no public view of timers
    assert scene.asked == 0
    assert await scene.want(20) == 1
    scene.now += 9_999
    assert await scene.want() == 1
    scene.now += 1
    assert await scene.want() == 2
    running.cancel()


async def test_a_log_that_asks_is_not_asked() -> None:
    """Cosigning says enough."""
    scene = Scene()
    running = asyncio.create_task(scene.watch.run())
    scene.standing.cosigned(5, scene.now)
    assert await scene.want(3) == 0
    running.cancel()


@pytest.mark.parametrize(("gone", "reason"), [(True, "log_unreachable"), (False, "not_asked")])
async def test_what_a_look_finds_is_said_by_the_next_answers(gone: bool, reason: str) -> None:
    """A log that is gone, or grows without asking, shows in the node's health once it has lasted."""
    scene = Scene()
    running = asyncio.create_task(scene.watch.run())
    scene.standing.cosigned(5, scene.now)
    scene.gone, scene.size = gone, 9
    for _ in range(3):
        scene.now += 20_000
        await scene.want()
    assert scene.standing.health(scene.now).reason == reason
    running.cancel()
