"""Random lives of a vault on a real EVM, beside a model that keeps nothing but what happened.

HALLMARK_VAULT_RUNS says how many lives (5); each is the same for the same number.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from hallmark.core.vault import EnclaveRevocation, Row
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.vault import (
    EVERYTHING,
    collect_call,
    finalize_call,
    release_call,
    revoke_call,
    withdrawal_call,
)
from hallmark.testing.anvil import fund, running_anvil, transact
from hallmark.testing.vault_model import Key as EnclaveKey
from hallmark.testing.vault_model import VaultModel
from hallmark.testing.vaults import FOREVER, GAS, SHORT, SUBMITTER, VaultOnChain, fresh_vault, named_key

pytestmark = pytest.mark.integration

RUNS, STEPS = int(os.environ.get("HALLMARK_VAULT_RUNS", "5")), 70
PAYEES = {"one": "north", "two": "north", "three": "south"}
PAYERS = ("anna", "ben", "cleo")
Rows = list[tuple[str, int]]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all lives."""
    with running_anvil() as url:
        yield url


class Life:
    """One vault, its model, and the random choices that both get."""

    def __init__(self, chain: VaultOnChain, seed: int) -> None:
        self.chain = chain
        self.model = VaultModel(SHORT)
        self.rng = random.Random(seed)
        self.time = 0
        self.accounts: dict[str, int] = {}
        self.spent: dict[tuple[str, str], int] = {}
        self.paid: dict[str, int] = {}
        self.counts: dict[str, int] = {}

    async def begin(self) -> None:
        """Register the enclaves, give every payer gas and money."""
        for name, payee in PAYEES.items():
            await self.chain.register(named_key(name), named_key(payee).address)
            self.model.keys[name] = EnclaveKey(payee, FOREVER)
        for name in PAYERS:
            await fund(self.chain.rpc, named_key(name))
            await self.chain.pour(named_key(name).address, 10**6)
        self.time = await self.chain.now()
        for name in PAYERS:
            await self.deposit(name, 2000)
            for payee in ("north", "south"):
                await self.ceiling(name, payee, 5000)

    async def step(self) -> None:
        """One random action, for chain and model alike, and every invariant after it."""
        self.time += self.rng.choice((1,) * 8 + (30,) * 4 + (120, SHORT.settlement))
        await self.chain.rpc.call("evm_setNextBlockTimestamp", self.time)
        action = self.rng.choice(ACTIONS)
        await getattr(self, action)()
        await self.compare()

    async def both(self, data: bytes, expected: str, *, key: Key = SUBMITTER) -> None:
        """Send for real, at the time that the model was given; the outcomes must be the same."""
        receipt = await transact(self.chain.rpc, key, self.chain.address, data, gas=GAS)
        self.counts[expected] = self.counts.get(expected, 0) + 1
        if receipt["status"] == "0x1":
            assert expected == ""
        else:
            assert expected == await self.chain.refusal(data, key=key)

    async def deposit(self, payer: str = "", amount: int = -1) -> None:
        payer = payer or self.rng.choice(PAYERS)
        amount = self.rng.choice((0, 1, 50, 500, 5000)) if amount < 0 else amount
        key = named_key(payer)
        await self.both(
            await self.chain.authorized_deposit(key, amount), self.model.deposit(payer, amount), key=key
        )
        self.accounts[payer] = key.address

    async def ceiling(self, payer: str = "", payee: str = "", most: int = -1) -> None:
        payer, payee = payer or self.rng.choice(PAYERS), payee or self.rng.choice(("north", "south"))
        kept = self.model.ceilings.get((payer, payee))
        nonce = kept.nonce + self.rng.choice((0, 1, 1, 1, 2)) if kept else 1
        until = self.rng.choice((FOREVER, FOREVER, FOREVER, self.time + 300)) if kept else FOREVER
        most = self.rng.choice((0, 100, 1000, 10_000, 10_000)) if most < 0 else most
        data = self.chain.ceiling(named_key(payer), named_key(payee).address, most, nonce=nonce, until=until)
        await self.both(data, self.model.sign_ceiling(payer, payee, most, nonce, until))

    def rows(self, enclave: str, pick: tuple[int, ...]) -> Rows:
        """Some accounts with an amount near what the lease says."""
        some = self.rng.sample(list(self.accounts), self.rng.randint(1, len(self.accounts)))
        rows = []
        for payer in some:
            lease = self.model.lease_of(enclave, payer)
            low, high = (lease.spent, lease.allowance) if pick else (lease.allowance, lease.allowance + 400)
            odd = self.rng.choice((0,) * 8 + (low - high - 1, high - low + 1))
            rows.append((payer, max(0, self.rng.randint(low, high) + odd)))
        return rows

    def sequence(self, enclave: str) -> int:
        """Mostly the next number, sometimes one that was."""
        return self.model.keys[enclave].sequence + self.rng.choice((0, *(1,) * 12, 3))

    async def lease(self) -> None:
        enclave = self.rng.choice(list(PAYEES))
        rows, number = self.rows(enclave, ()), self.sequence(enclave)
        until = self.time + self.rng.choice((0, 60, 200, 290, 290, SHORT.lease, SHORT.lease, SHORT.lease + 1))
        data = self.chain.lease(named_key(enclave), until, self.packed(rows), sequence=number)
        await self.both(data, self.model.lease(enclave, number, until, rows, self.time))

    async def settle(self) -> None:
        enclave, closing = self.rng.choice(list(PAYEES)), self.rng.random() < 0.2
        rows, number = self.rows(enclave, (1,)), self.sequence(enclave)
        data = self.chain.settle(named_key(enclave), self.packed(rows), sequence=number, closing=closing)
        await self.both(data, self.model.settle(enclave, number, rows, self.time, closing=closing))

    def packed(self, rows: Rows) -> list[Row]:
        """The rows with the payers' addresses."""
        return [Row(self.accounts[payer], amount) for payer, amount in rows]

    async def release(self) -> None:
        enclave, payer = self.rng.choice(list(PAYEES)), self.rng.choice(list(self.accounts))
        data = release_call(named_key(enclave).address, self.accounts[payer])
        await self.both(data, self.model.release(enclave, payer, self.time))

    async def request(self) -> None:
        payer, amount = self.rng.choice(PAYERS), self.rng.choice((0, 0, 40, 600, EVERYTHING))
        await self.both(
            withdrawal_call(amount), self.model.request(payer, amount, self.time), key=named_key(payer)
        )

    async def finalize(self, payer: str = "") -> None:
        payer = payer or self.rng.choice(PAYERS)
        error, paid = self.model.finalize(payer, self.time)
        self.paid[payer] = self.paid.get(payer, 0) + paid
        await self.both(finalize_call(named_key(payer).address), error)

    async def collect(self, payee: str = "") -> None:
        payee = payee or self.rng.choice(("north", "south"))
        error, paid = self.model.collect(payee)
        self.paid[payee] = self.paid.get(payee, 0) + paid
        await self.both(collect_call(named_key(payee).address), error)

    async def revoke(self) -> None:
        if self.rng.random() < 0.93:
            return
        enclave = self.rng.choice(list(PAYEES))
        revocation = EnclaveRevocation(named_key(enclave).address, bytes(32))
        await self.both(revoke_call(revocation, self.chain.quorum(revocation)), self.model.revoke(enclave))

    async def compare(self) -> None:
        """The chain shows what the model says, and what must always hold holds."""
        vault, model = self.chain.vault, self.model
        for payer, number in self.accounts.items():
            assert await vault.account(number) == model.account(payer)
            for payee in ("north", "south"):
                ceiling = await vault.ceiling(number, named_key(payee).address)
                assert ceiling == model.ceiling(payer, payee)
                signed = model.ceilings.get((payer, payee))
                assert model.charged(payer, payee) <= ceiling.committed <= (signed.highest if signed else 0)
            for enclave in PAYEES:
                lease = await vault.lease(named_key(enclave).address, number)
                assert lease == model.lease_of(enclave, payer)
                assert lease.spent >= self.spent.get((enclave, payer), 0)
                assert lease.spent <= lease.allowance
                self.spent[enclave, payer] = lease.spent
        assert await self.chain.token.balance(self.chain.address) == model.held()
        for name in (*PAYERS, "north", "south"):
            had = 10**6 - model.payers[name].deposited if name in model.payers else 10**6
            had = had if name in PAYERS else 0
            assert await self.chain.token.balance(named_key(name).address) == had + self.paid.get(name, 0)

    async def end(self) -> None:
        """Everybody but the payers is gone: each gets back all that was not charged, and payees what was."""
        for payer in self.accounts:
            await self.chain.rpc.call("evm_setNextBlockTimestamp", self.time + 1)
            self.time += 1
            await self.both(
                withdrawal_call(EVERYTHING),
                self.model.request(payer, EVERYTHING, self.time),
                key=named_key(payer),
            )
        self.time += SHORT.withdrawal
        for payer, number in self.accounts.items():
            for enclave in PAYEES:
                if self.model.lease_of(enclave, payer).until:
                    await self.chain.rpc.call("evm_setNextBlockTimestamp", self.time)
                    released = self.model.release(enclave, payer, self.time)
                    assert released == ""
                    await self.both(release_call(named_key(enclave).address, number), "")
                    self.time += 1
            await self.chain.rpc.call("evm_setNextBlockTimestamp", self.time)
            await self.finalize(payer)
            self.time += 1
            charged = sum(self.model.charged(payer, payee) for payee in ("north", "south"))
            assert await self.chain.token.balance(named_key(payer).address) == 10**6 - charged
        for payee in ("north", "south"):
            await self.collect(payee)
        await self.compare()
        assert self.model.held() == await self.chain.token.balance(self.chain.address) == 0


ACTIONS = (
    *("deposit",) * 2,
    *("ceiling",) * 3,
    *("lease",) * 6,
    *("settle",) * 6,
    *("release",) * 2,
    "request",
    *("finalize",) * 2,
    "collect",
    "revoke",
)


async def test_random_lives(url: str) -> None:
    """Sums add up, charges stay below what was signed and never go back, every payer is paid in the end."""
    outcomes: set[str] = set()
    earned = 0
    for seed in range(RUNS):
        async with fresh_vault(url) as chain:
            life = Life(chain, seed)
            await life.begin()
            for _ in range(STEPS):
                await life.step()
            await life.end()
        assert life.counts[""] > STEPS // 2, seed
        outcomes |= life.counts.keys()
        earned += life.paid["north"] + life.paid["south"]
    assert earned > 0
    assert outcomes >= {"", "StaleSequence", "RowGoesBack", "RowAboveLease", "LeaseShrinks", "NotReady"}
