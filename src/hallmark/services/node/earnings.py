"""What a payee was paid, from the vault's events: for the operator, who believes its own endpoint."""

from __future__ import annotations

import msgspec

from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.vault import VaultContract
from hallmark.services.chain.vault_events import Collected, Emitted, RowTooLate, Settled, vault_events

WINDOW = 5_000
"""Blocks of one question: public endpoints answer for few more."""


class Epoch(msgspec.Struct, frozen=True):
    """One settlement of an enclave's for the payee. Amounts are atomic units, `at` is unix seconds (0: the
    endpoint does not say), `too_late` the accounts whose rows came after their window and charged nothing.
    """

    at: int
    block: int
    transaction: bytes
    enclave: bytes
    accounts: int
    charged: int
    too_late: int


class Collection(msgspec.Struct, frozen=True):
    """What the payee was paid at once, by whoever started it."""

    at: int
    block: int
    transaction: bytes
    amount: int


class Earnings(msgspec.Struct, frozen=True):
    """Settlements and collections of some blocks, oldest first; `waiting` is what the vault holds for the
    payee at the last of them.
    """

    first: int
    last: int
    epochs: tuple[Epoch, ...]
    collections: tuple[Collection, ...]
    waiting: int

    @property
    def earned(self) -> int:
        """All that these settlements charged."""
        return sum(epoch.charged for epoch in self.epochs)

    def earned_by(self, enclave: bytes) -> int:
        """What those of one enclave's key charged."""
        return sum(epoch.charged for epoch in self.epochs if epoch.enclave == enclave)

    @property
    def collected(self) -> int:
        """All that was paid out."""
        return sum(one.amount for one in self.collections)


async def read_earnings(rpc: RPC, vault: bytes, payee: bytes, *, blocks: int) -> Earnings:
    """What the newest `blocks` blocks tell of a payee's enclaves, those of earlier images among them.

    Raises what `vault_events` and `VaultContract` raise.
    """
    await VaultContract(rpc, vault).require_spoken()
    last = await rpc.head()
    first = max(0, last - blocks + 1)
    told: list[Emitted] = []
    for start in range(first, last + 1, WINDOW):
        until = min(last, start + WINDOW - 1)
        told += await vault_events(rpc, vault, start, until, only=(Settled, Collected, RowTooLate))
    late: dict[bytes, int] = {}
    for one in told:
        if isinstance(one.event, RowTooLate):
            late[one.transaction] = late.get(one.transaction, 0) + 1
    times: dict[int, int] = {}
    epochs, collections = list[Epoch](), list[Collection]()
    for one in told:
        event = one.event
        if isinstance(event, RowTooLate) or event.payee != payee:  # type: ignore[attr-defined]  # of both left
            continue
        if one.block not in times:
            times[one.block] = await rpc.block_time(one.block) or 0
        place = (times[one.block], one.block, one.transaction)
        if isinstance(event, Collected):
            collections.append(Collection(*place, event.amount))
        elif isinstance(event, Settled):
            rows = len(event.rows)
            epochs.append(Epoch(*place, event.enclave, rows, event.total, late.get(one.transaction, 0)))
    waiting = await VaultContract(rpc, vault, block=last).earned(payee)
    return Earnings(first, last, tuple(epochs), tuple(collections), waiting)
