"""Receipts on their way to the log: submitted once, written once, and by the gateway only when need be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.core.document import unhex
from hallmark.core.entries import entry_id
from hallmark.core.errors import Unavailable
from hallmark.http.client import Pool
from hallmark.services.gateway import receipt_store
from hallmark.services.gateway.outbox import EARLY, where
from hallmark.services.gateway.receipt_store import Kept, ReceiptStore
from hallmark.store.raw import RawDatabase
from hallmark.testing.local_network import LocalNetwork

PATH = "/v1/hallmark/receipts/"
BODY = b'{"model":"digits","messages":[]}'


@pytest.fixture
async def patient() -> AsyncIterator[LocalNetwork]:
    """A network whose gateway waits for a minute before it submits anything."""
    async with LocalNetwork(submit_ms=60_000) as network:
        yield network


async def answers(local: LocalNetwork, count: int) -> list[str]:
    """The receipts' ids of so many answers, one after the other."""
    pool, ids = Pool(), []
    for _ in range(count):
        async with pool.request("POST", local.url + "/v1/chat/completions", body=BODY) as response:
            await response.read()
            ids.append((response.header(b"hallmark-receipt") or b"").decode())
    await pool.aclose()
    return ids


def hosts_submit(local: LocalNetwork, submit: Callable[[bytes], object]) -> None:
    """The nodes' hosts do this with every receipt."""
    for node in local.nodes:
        node.runtime.submit = submit


async def test_a_receipt_that_its_host_brings_is_not_submitted_again(patient: LocalNetwork) -> None:
    """The log is asked for nothing: what it tells its followers shows where each receipt stands."""
    hosts_submit(patient, patient.log.add)
    asked, commits = len(patient.log.paths), patient._database.commits
    ids = await answers(patient, 10)
    for name in ids:
        track = await patient.gateway.outbox.track(unhex(name))
        assert track is not None
        async with asyncio.timeout(60):
            await track.placed.wait()
        assert track.kept.position == patient.log.places[entry_id(track.kept.entry)]
    assert (patient.log.adds, len(patient.log.paths) - asked) == (0, 0)
    # The figures of a minute that ends meanwhile are one more.
    assert patient._database.commits - commits in (10, 11)
    assert patient.gateway.outbox.underway == 0


async def test_a_receipt_that_the_log_shows_before_its_answer_has_ended(patient: LocalNetwork) -> None:
    """Log and quorum may be faster than the answer's last bytes; another form of it is another entry."""
    outbox = patient.gateway.outbox
    fresh = Kept(bytes(32), b"entry", bytes(32), b"", 1)
    outbox.noticed(7, (123).to_bytes(8, "big") + fresh.entry)
    kept = outbox.add(fresh).kept
    assert (kept.position, kept.admitted) == (7, 123)
    outbox.noticed(8, (124).to_bytes(8, "big") + b"another form")
    assert outbox.add(Kept(b"1" * 32, b"this form", bytes(32), b"", 1)).kept.position is None
    for number in range(EARLY + 1):
        outbox.noticed(9 + number, (125).to_bytes(8, "big") + b"%d" % number)
    assert len(outbox._early) == EARLY


async def test_what_is_on_disk_is_looked_up_in_the_folded_log() -> None:
    """After a kill: exactly this entry, not another form of its receipt."""
    async with LocalNetwork(submit_ms=60_000) as local:
        hosts_submit(local, local.log.add)
        (name,) = await answers(local, 1)
        track = await local.gateway.outbox.track(unhex(name))
        assert track is not None
        async with asyncio.timeout(60):
            await track.placed.wait()
        kept = msgspec.structs.replace(track.kept, position=None, admitted=None)
        found = where(local.gateway.follower.replica, kept)
        assert found is not None
        assert found.index == track.kept.position
        other = msgspec.structs.replace(kept, entry=kept.entry + b"x")
        assert where(local.gateway.follower.replica, other) is None


async def test_a_receipt_that_its_host_drops_is_submitted_here() -> None:
    """After a while, and once."""
    async with LocalNetwork(submit_ms=20) as local:
        (name,) = await answers(local, 1)
        async with asyncio.timeout(60):
            while local.log.adds == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        track = await local.gateway.outbox.track(unhex(name))
        assert track is not None
        async with asyncio.timeout(60):
            await track.placed.wait()
        assert (local.log.adds, local.gateway.outbox._timer) == (1, None)


async def test_places_are_written_with_the_next_receipt(tmp_path: Path) -> None:
    """One transaction for each group of receipts; what became of earlier ones goes with it."""
    database = RawDatabase(f"sqlite:///{tmp_path}/g.db")
    kept = [Kept(bytes([n]) * 32, b"entry %d" % n, bytes(32), b"", n) for n in range(3)]
    box = ReceiptStore(database)
    running = asyncio.create_task(box.run())
    commits = database.commits
    await asyncio.gather(box.put(kept[0]), box.put(kept[1]))
    box.placed(Kept(*_fields(kept[0]), position=7, admitted=8))
    assert [one.id for one in await box.pending()] == [kept[1].id]
    await box.put(kept[2])
    assert database.commits - commits == 2
    box.placed(Kept(*_fields(kept[1]), refused="bad_entry"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    again = ReceiptStore(database)
    assert [one.id for one in await again.pending()] == [kept[2].id]
    found = await again.get(kept[0].id)
    assert found is not None
    assert (found.position, found.admitted) == (7, 8)
    database.close()


async def test_receipts_that_come_close_behind_others_share_a_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is written at once; ten that come one after the other within the spacing are written once."""
    monkeypatch.setattr(receipt_store, "SPACING_S", 0.25)
    database = RawDatabase(f"sqlite:///{tmp_path}/g.db")
    box = ReceiptStore(database)
    running = asyncio.create_task(box.run())
    await box.put(Kept(bytes(32), b"first", bytes(32), b"", 0))
    commits, puts = database.commits, []
    for n in range(1, 11):
        puts.append(asyncio.create_task(box.put(Kept(bytes([n]) * 32, b"entry", bytes(32), b"", n))))
        await asyncio.sleep(0)
    await asyncio.gather(*puts)
    assert database.commits - commits == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    database.close()


async def test_what_is_gathered_when_the_gateway_stops_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, in as many transactions as it takes; nobody was told before that a receipt is safe."""
    monkeypatch.setattr(receipt_store, "SPACING_S", 3600.0)
    monkeypatch.setattr(receipt_store, "MOST", 4)
    database = RawDatabase(f"sqlite:///{tmp_path}/g.db")
    box = ReceiptStore(database)
    running = asyncio.create_task(box.run())
    await box.put(Kept(bytes(32), b"first", bytes(32), b"", 0))
    commits = database.commits
    kept = [Kept(bytes([n]) * 32, b"entry", bytes(32), b"", n) for n in range(1, 11)]
    puts = [asyncio.create_task(box.put(one)) for one in kept]
    for _ in range(20):
        await asyncio.sleep(0)
    assert database.commits == commits
    assert not any(put.done() for put in puts)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    async with asyncio.timeout(60):
        await asyncio.gather(*puts)
    assert [one.id for one in await ReceiptStore(database).pending()][1:] == [one.id for one in kept]
    database.close()


async def test_a_disk_that_fails_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receipt that cannot be written raises; a place waits for a later write, which has the receipt."""
    monkeypatch.setattr(receipt_store, "LATER_S", 0.01)
    database = RawDatabase("sqlite://")
    box = ReceiptStore(database)
    real, tries = database.async_write, 0

    async def failing(work: Any, *, brief: bool = False) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise Unavailable("store_full", "The disk is full.")
        return await real(work, brief=brief)

    monkeypatch.setattr(database, "async_write", failing)
    running = asyncio.create_task(box.run())
    kept = Kept(bytes(32), b"entry", bytes(32), b"", 1)
    with pytest.raises(Unavailable):
        await box.put(kept)
    box.placed(Kept(*_fields(kept), position=7, admitted=8))
    async with asyncio.timeout(60):
        while not await ReceiptStore(database).get(kept.id):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    assert tries == 4
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    database.close()


def _fields(kept: Kept) -> tuple[bytes, bytes, bytes, bytes, int]:
    return kept.id, kept.entry, kept.evidence, kept.configuration, kept.created
