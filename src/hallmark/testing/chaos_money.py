"""A payer among the clients of kill runs: it pays for every request from one account of the vault, and at the
end its account, the records in the log and the chain must agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import httpx
import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import decode, split_leaf
from hallmark.core.errors import HallmarkError
from hallmark.core.money import Payment
from hallmark.core.receipt import Receipt
from hallmark.core.spending import Spend
from hallmark.core.vault import SpendingCeiling, Vault
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.spending import HEADER, request_name, sign_spending
from hallmark.services.node.settlement import PAYMENT_AT
from hallmark.services.sdk.chain_account import ChainAccount
from hallmark.services.sdk.network import find
from hallmark.services.sdk.offers import NodeOffer, read_offers
from hallmark.services.sdk.wallet import Wallet
from hallmark.testing.vaults import FOREVER

DEPOSIT, MAXIMUM = 100_000_000, 1_000_000
PAID_S = 3_600
COMPLETIONS = "/v1/completions"
AGAIN_S = 120.0
SETTLED_S = 180.0
"""Nodes of a development network settle each minute."""


class Purse:
    """See the module docstring. Its wallet is made anew; `home` is the network's."""

    def __init__(self, home: Path) -> None:
        chain = find(None, None, home).chain
        assert chain is not None
        faucet = Key(bytes.fromhex((home / "keys" / "faucet.secp256k1").read_text().strip()))
        self._key, self._session = Key.generate(), Key.generate()
        self._account = ChainAccount(chain, Wallet(self._key), faucet)
        self._vault = Vault(chain.chain_id, unhex(chain.vault))
        self._offers: tuple[NodeOffer, ...] = ()
        self.signed: set[str] = set()

    async def fill(self, client: httpx.AsyncClient, base: str) -> None:
        """Fill the account, and see whom to pay."""
        await self._account.fund("200")
        await self._account.deposit("100")
        listed = (await client.get(f"{base}/v1/hallmark/offers")).json()
        self._offers = tuple(one for one in read_offers(listed, None) if one.settlement)
        assert self._offers, "nobody can be paid"

    async def is_known(self) -> bool:
        """Whether the chain answers, and has the account."""
        try:
            return not (await self._account.vault.account(self._key.address)).empty
        except HallmarkError:
            return False

    def pay(self, path: str, body: bytes, rng: random.Random) -> dict[str, str]:
        """The header that pays any of the nodes for this request, once."""
        return self._header(path, body, rng.choice(self._offers))

    async def come_again(self, client: httpx.AsyncClient, base: str) -> None:
        """One request at each node. The development chain forgets its last seconds when it is killed: a lease
        among them is there again when its payer comes again, and what was charged on it is charged with it.
        """
        body = msgspec.json.encode({"model": "pydoc", "prompt": "What does os.mkfifo do?"})
        for one in self._offers:
            async with asyncio.timeout(AGAIN_S):
                while True:
                    headers = {"content-type": "application/json", **self._header(COMPLETIONS, body, one)}
                    with contextlib.suppress(httpx.HTTPError):
                        answer = await client.post(f"{base}{COMPLETIONS}", content=body, headers=headers)
                        if answer.status_code == 200:
                            break
                    await asyncio.sleep(1.0)

    def _header(self, path: str, body: bytes, chosen: NodeOffer) -> dict[str, str]:
        salt = secrets.token_bytes(32)
        payer, payee = self._key.address, unhex(chosen.offer.payee)
        ceiling = SpendingCeiling(payer, payee, self._session.address, DEPOSIT, 1, FOREVER)
        until, name = (int(time.time()) + PAID_S) * 1_000, request_name(salt, path, body)
        nonce, enclave = secrets.token_bytes(32), unhex(chosen.settlement)
        spend = Spend(payer, payee, enclave, name, MAXIMUM, nonce, until)
        by = self._key.sign(self._vault.digest(ceiling))
        self.signed.add(hex0x(self._vault.digest(spend)))
        return {HEADER: sign_spending(ceiling, by, spend, salt, session=self._session, vault=self._vault)}

    async def audit(self, leaves: Callable[[], Awaitable[Iterable[bytes]]]) -> tuple[str, tuple[str, ...]]:
        """What was paid, in a line, and every promise that was not kept. Waits for the nodes to settle;
        `leaves` reads the log. Lets go of the chain.

        1. No payment stands in two receipts, each was signed here, and none charges more than was reserved.
        2. The vault holds as spent what the records say; and of requests that ended without one no more than
           was reserved for them.
        3. What is free in the account, leased and spent is what was deposited.
        """
        mine = hex0x(self._key.address)
        records = [record for leaf in await leaves() if (record := _record(leaf, mine))]
        names = [record.authorization for record in records]
        problems = ["one payment in two receipts"] if len(set(names)) < len(names) else []
        problems += [
            f"payment {record.authorization} was charged {record.charged} of {record.reserved}"
            for record in records
            if int(record.charged) > int(record.reserved) or record.authorization not in self.signed
        ]
        charged, lost = sum(int(record.charged) for record in records), len(self.signed) - len(set(names))
        most = charged + lost * max((int(record.reserved) for record in records), default=0)
        deadline = time.monotonic() + SETTLED_S
        # no event says that a chain has moved money
        while (spent := await self._spent())[0] < charged and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(1.0)
        total, allowed, free = spent
        if not charged <= total <= most:
            problems.append(f"the vault holds {total} as spent; records {charged}, at most {most}")
        if free + allowed != DEPOSIT:
            problems.append(f"{free} free and {allowed} leased or spent of {DEPOSIT} deposited")
        if not records:
            problems.append("nobody paid")
        await self._account.aclose()
        line = (
            f"money: {len(self.signed)} payments signed, {len(records)} in receipts, which charge {charged}; "
            f"spent in the vault: {total}"
        )
        return line, tuple(problems)

    async def _spent(self) -> tuple[int, int, int]:
        """Of the account: what enclaves have charged, what they may charge in all, and what is free."""
        vault = self._account.vault
        leases = [await vault.lease(unhex(one.settlement), self._key.address) for one in self._offers]
        account = await vault.account(self._key.address)
        return sum(one.spent for one in leases), sum(one.allowance for one in leases), account.free


async def filled(home: Path, client: httpx.AsyncClient, base: str) -> Purse:
    """A purse with money in its account."""
    purse = Purse(home)
    await purse.fill(client, base)
    return purse


def _record(leaf: bytes, payer: str) -> Payment | None:
    """The payment record of a receipt that this payer paid for."""
    entry = decode(split_leaf(leaf)[1])
    if not isinstance(entry.statement, Receipt) or len(entry.attachments) <= PAYMENT_AT:
        return None
    if not entry.attachments[PAYMENT_AT]:
        return None
    record = Payment.decode(entry.attachments[PAYMENT_AT])
    return record if record.payer == payer else None
