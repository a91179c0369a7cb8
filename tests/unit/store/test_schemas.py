"""Tables that stores in use have: a step of a migration is never changed, another one is added behind it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hallmark.core.hashing import sha256
from hallmark.ledger.sql_store import LOG_MIGRATIONS, WITNESS_MIGRATIONS
from hallmark.services.facilitator import store as facilitator_store
from hallmark.services.fullnode import checkpoint_store
from hallmark.services.gateway import receipt_store, traffic
from hallmark.services.issuer import store as issuer_store
from hallmark.services.log import lease, membership, sequencer
from hallmark.services.node import outbox, x402_store
from hallmark.services.sdk import spending_store, token_store
from hallmark.store.raw import RawDatabase, Step

SHIPPED: dict[str, tuple[Sequence[Step], str]] = {
    "fullnode": ((checkpoint_store._create,), "8b3f867c3c51a832"),
    "gateway": ((receipt_store.create,), "66fdbe865b1df432"),
    "gateway-minutes": ((traffic.create,), "a5f531cd5db441e2"),
    "log": (LOG_MIGRATIONS, "ad5f547edd172908"),
    "log-chains": ((sequencer._create,), "1a4054191ce6dfb1"),
    "log-known": ((membership._create,), "7c41b982885bb731"),
    "log-lease": ((lease._create,), "b31645af726b75af"),
    "node": ((outbox.create,), "10642516cdf85101"),
    "spending": (spending_store.MIGRATIONS, "c5312eb3bc4e588a"),
    "tokens": (token_store.MIGRATIONS, "f2a7fc378705aa63"),
    "witness": (WITNESS_MIGRATIONS, "1d13cb08e254ac41"),
}
"""By component: its steps, and the first 8 bytes of the SHA-256 of the schema that they make."""


@pytest.mark.parametrize("component", SHIPPED)
def test_the_schema_is_the_one_that_stores_have(component: str) -> None:
    """After the steps that were shipped."""
    steps, expected = SHIPPED[component]
    database = RawDatabase("sqlite://")
    database.migrate(component, steps)
    rows = database.read(lambda t: t.fetch("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY sql"))
    database.close()
    assert sha256("\n".join(str(row[0]) for row in rows).encode()).hex()[:16] == expected


AMOUNTS: dict[str, tuple[Sequence[Step], set[tuple[str, str]]]] = {
    "facilitator": ((facilitator_store._create,), {("settlements", "amount")}),
    "issuer": (
        (issuer_store._create,),
        {
            ("holds", "charged"),
            ("holds", "reserved"),
            ("owed", "amount"),
            ("payouts", "amount"),
            ("purchases", "amount"),
        },
    ),
    "node_x402": (
        (x402_store.create, x402_store.look_again, x402_store.rails),
        {
            ("x402_claims", "amount"),
            ("x402_earned", "amount"),
            ("x402_payments", "amount"),
            ("x402_payments", "most"),
        },
    ),
    "spending": (spending_store.MIGRATIONS, {("spends", "charged"), ("spends", "maximum")}),
}
"""By component: its steps, and the columns that hold money."""


@pytest.mark.parametrize("component", AMOUNTS)
def test_money_is_text(component: str) -> None:
    """Amounts have 96 bits, and a whole number of a database has 64."""
    steps, expected = AMOUNTS[component]
    database = RawDatabase("sqlite://")
    database.migrate(component, steps)
    query = (
        "SELECT t.name, c.name, c.type FROM sqlite_master t, pragma_table_info(t.name) c "
        "WHERE t.type = 'table' AND c.name IN ('amount', 'charged', 'maximum', 'most', 'reserved')"
    )
    rows = database.read(lambda t: t.fetch(query))
    database.close()
    assert {(table, column) for table, column, _ in rows} == expected
    assert {kind for _, _, kind in rows} == {"TEXT"}
