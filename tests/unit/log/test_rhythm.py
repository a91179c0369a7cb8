"""How often a log wakes when nothing comes: to keep its lease, and for nothing else."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any, cast

import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, Unavailable
from hallmark.http.serve import Listen
from hallmark.ledger.note import ED25519, SigningKey
from hallmark.services.log import service as module
from hallmark.services.log.lease import Lease
from hallmark.services.log.service import LogService
from hallmark.services.log.settings import Settings

SEED = b"\x07" * 32
LEASE = Lease("this", 1)
sleep = asyncio.sleep


@pytest.fixture
def service(tmp_path: Path) -> LogService:
    """A log with a lease of 10 s."""
    (tmp_path / "key").write_text(SEED.hex())
    key = SigningKey("test.example/log", ED25519, SEED)
    return LogService(
        Settings(
            listen=Listen(0),
            origin="test.example/log",
            key_file=str(tmp_path / "key"),
            database="sqlite://",
            policy=f"log {key.vkey}\nquorum none\n",
            holder="this",
            authority=(hex0x(bytes(20)),),
            threshold=1,
            chain_id=31337,
        )
    )


async def slept(monkeypatch: pytest.MonkeyPatch, running: Any, most: int) -> list[float]:
    """For how long something sleeps, each time, until it did so often or nothing more happens."""
    pauses: list[float] = []

    async def asleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == most:
            await asyncio.Event().wait()
        await sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", asleep)
    task = asyncio.ensure_future(running)
    for _ in range(50):
        await sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return pauses


async def test_the_lease_is_extended_at_half_of_it_and_soon_again_when_that_failed(
    service: LogService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write in five seconds; a store that is busy for one of them costs no lease."""
    count = itertools.count()

    class Keeper:
        async def renew(self, _lease: Lease, _now: int) -> None:
            if next(count) == 1:
                raise Unavailable("store_unavailable", "Busy.")

    cast(Any, service)._keeper = Keeper()
    assert await slept(monkeypatch, service._renew(LEASE), 4) == [5.0, 5.0, 1.0, 5.0]


async def test_a_lost_lease_ends_the_log(service: LogService, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next renewal at the latest."""

    class Keeper:
        async def renew(self, _lease: Lease, _now: int) -> None:
            raise Conflict("lease_lost", "Lost.")

    cast(Any, service)._keeper = Keeper()
    assert await slept(monkeypatch, service._renew(LEASE), 4) == [5.0]


async def test_checkpoints_are_remembered_when_there_are_new_ones_and_at_the_end(
    service: LogService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty checkpoints are one write; none, and the log sleeps."""
    kept = []

    class Publisher:
        async def keep(self) -> None:
            kept.append(len(kept))
            if len(kept) == 1:
                raise Unavailable("store_full", "Full.")

    publisher = cast(Any, Publisher())
    assert await slept(monkeypatch, service._keep(publisher), 9) == []
    for _ in range(20):
        service._newer.set()
    kept.clear()
    assert await slept(monkeypatch, service._keep(publisher), 9) == [module.KEEP_S, module.KEEP_S]
    assert len(kept) == 3
