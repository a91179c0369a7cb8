"""The anchoring outbox on PostgreSQL."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hallmark.core.hashing import sha256
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.services.anchor.machine import Machine
from hallmark.services.anchor.outbox import Outbox, State
from hallmark.store import Database
from hallmark.testing import postgres
from hallmark.testing.chain import FakeChain

pytestmark = pytest.mark.integration


async def sign(checkpoint: AnchoredCheckpoint) -> tuple[bytes, ...]:
    """Full nodes that always sign."""
    return (checkpoint.root + bytes(33),)


async def test_a_checkpoint_is_confirmed_on_postgresql() -> None:
    """The state machine runs to the end on the other database, and every field comes back unchanged."""
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL's server is not installed")
    with postgres.server() as url:
        database = Database(url)
        outbox, chain = Outbox(database), FakeChain()
        machine = Machine(outbox, chain, sign, confirmations=2)
        root = sha256(b"root")
        await machine.want(AnchoredCheckpoint(bytes(32), bytes(32), 2**40, root), 1)
        for now in range(6):
            await machine.step(bytes(32), bytes(32), now)
            chain.mine()
        (row,) = await outbox.rows((State.CONFIRMED,))
        assert (row.size, row.root, row.signatures) == (2**40, root, (root + bytes(33),))
        await outbox.save(replace(row, state=State.CONFLICT))
        assert await outbox.counts() == {"conflict": 1}
        database.close()
