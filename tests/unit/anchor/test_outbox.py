"""The outbox's table."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from hallmark.core.hashing import sha256
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.services.anchor.outbox import Anchoring, Outbox, State
from hallmark.store import Database


def checkpoint(size: int) -> AnchoredCheckpoint:
    """A checkpoint of a size."""
    return AnchoredCheckpoint(bytes(32), bytes(32), size, sha256(bytes([size])))


async def test_rows_survive_unchanged(tmp_path: Path) -> None:
    """Every field comes back from the file as it was stored, by another process too."""
    url = f"sqlite:///{tmp_path / 'anchor.db'}"
    database = Database(url)
    await Outbox(database).add(checkpoint(7), 1)
    row = Anchoring(
        size=7,
        root=checkpoint(7).root,
        state=State.SENT,
        since=2**45,
        signatures=(b"\x01" * 65, b"\x02" * 65),
        raw=b"\x02raw",
        transaction=b"\x03" * 32,
        nonce=4,
        fee_limit=10**14,
        fee_tip=10**14 - 1,
        block=5,
        attempts=6,
        reason="nonce_passed",
    )
    await Outbox(database).save(row)
    database.close()
    assert await Outbox(Database(url)).rows((State.SENT,)) == [row]


async def test_adding_again_keeps_the_row() -> None:
    """A size that is known keeps its state and root; the caller sees them."""
    outbox = Outbox(Database("sqlite://"))
    first = await outbox.add(checkpoint(7), 1)
    await outbox.save(replace(first, state=State.MINED))
    again = await outbox.add(AnchoredCheckpoint(bytes(32), bytes(32), 7, bytes(32)), 2)
    assert again == replace(first, state=State.MINED)


async def test_order_and_limits() -> None:
    """Rows come newest or oldest first, above a size, in given states, no more than asked for."""
    outbox = Outbox(Database("sqlite://"))
    for size in (3, 1, 2):
        row = await outbox.add(checkpoint(size), 0)
        await outbox.save(replace(row, state=State.MINED if size < 3 else State.WANTED))
    assert [row.size for row in await outbox.rows(tuple(State))] == [3, 2, 1]
    assert [row.size for row in await outbox.rows((State.MINED,), newest=False)] == [1, 2]
    assert [row.size for row in await outbox.rows(tuple(State), above=1, limit=1, newest=False)] == [2]
    assert await outbox.counts() == {"mined": 2, "wanted": 1}
