"""Settlement through many kills in quick succession, on one chain that is away now and then.

The enclave's side is its own code for accounts and leases, without a process; the host's side is the host's;
the chain is real. A kill is what SIGKILL of both leaves: the journal's file as it is at that moment, and
nothing else. Real processes are killed in `test_payment_kills`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.core.spending import Spend, SpendingAuthorization
from hallmark.core.vault import SpendingCeiling, Vault
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.leases import Leases
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.rpc_proxy import RPCProxy
from hallmark.testing.settling import host_payments, offer_entry
from hallmark.testing.vaults import FOREVER, VaultOnChain, fresh_vault, named_key

pytestmark = pytest.mark.integration

GAS, ENCLAVE = named_key("gas of kills"), named_key("killed enclave")
PAYEE = named_key("paid through kills").address
PAYERS = [named_key(f"patient payer {number}") for number in range(3)]
SEALING = b"\x13" * 32
DEPOSIT, CHUNK, PACE_S = 20_000, 7, 0.01


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


class Served(msgspec.Struct):
    """A request as its payer knows it: what it may cost, what was delivered of it (atomic units), and whether
    it came to its end.
    """

    account: int
    most: int
    delivered: int = 0
    whole: bool = False


class Life:
    """One enclave with one host, until both are killed."""

    def __init__(self, folder: Path, url: str, chain: VaultOnChain) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.chain = folder, chain
        (folder / "offer").write_bytes(offer_entry(PAYEE, chain.parameters.asset, chain.address))
        self.host = host_payments(folder, url, GAS, PAYEE)
        self.vault = Vault(CHAIN_ID, chain.address)
        self._left, self._enough = 0, asyncio.Event()

    async def begin(self) -> None:
        """From the journal that is kept, as a new enclave does."""
        handed = await self.host.begin(self._hear, lambda: None)
        kept = b"" if handed is None else handed.read_bytes()
        chance = random.Random(time.perf_counter_ns())
        self.journal, _ = AccountJournal.begin(kept, SEALING, self.host.take, chance.randbytes, now=0)
        self.leases = Leases(
            ENCLAVE, self.journal, self.host.take, lambda: time.time_ns() // 1_000_000, longest_s=60
        )
        self.host.serving(ENCLAVE.address)

    def _hear(self, message: control.ToEnclave) -> None:
        match message:
            case control.Terms():
                self.host.take(control.TermsTaken(sha256(message.entry)))
            case control.FramesKept(position):
                self.journal.on_kept(position)
            case control.AccountState():
                self.leases.on_state(message)
            case control.Settle():
                answer = self.leases.settle(message, self.vault)
                asyncio.get_running_loop().call_soon(self.host.take, answer)

    async def serve(self, payer: int, most: int, chunks: int, served: dict[bytes, Served]) -> None:
        """Answer one request, which `served` has by its name: what is delivered is counted as it leaves."""
        request = random.Random(time.perf_counter_ns()).randbytes(32)
        account = await self.leases.room(self._authorization(payer, most, request), self.vault, most)
        accounts, journal = self.journal.accounts, self.journal
        one = served[request] = Served(account, most)
        await journal.kept(
            journal.write(accounts.reserve(account, request, request, most=most, expires=2**60), durable=True)
        )
        total = 0
        for _ in range(chunks):
            total = min(most, total + CHUNK)
            await journal.kept(journal.write(accounts.draw(request, total)))
            one.delivered = total
            self._delivered()
            await asyncio.sleep(PACE_S)
        await journal.kept(journal.write(accounts.end(request, total), durable=True))
        one.whole = True

    async def after(self, chunks: int) -> None:
        """Until so many chunks more were delivered, to whomever."""
        self._left, self._enough = chunks, asyncio.Event()
        await self._enough.wait()

    def _delivered(self) -> None:
        self._left -= 1
        if not self._left:
            self._enough.set()

    def _authorization(self, payer: int, most: int, request: bytes) -> SpendingAuthorization:
        key = PAYERS[payer]
        ceiling = SpendingCeiling(key.address, PAYEE, bytes(20), DEPOSIT, 1, FOREVER)
        spend = Spend(key.address, PAYEE, ENCLAVE.address, request, most, request, 2**60)
        return SpendingAuthorization(ceiling, self.chain.sign(ceiling, key), spend, bytes(65))

    def kill(self, folder: Path) -> None:
        """What is left for the next life. This one is forgotten, whatever it still does."""
        folder.mkdir()
        journal = self.folder / "journal"
        if journal.exists():
            (folder / "journal").write_bytes(journal.read_bytes())


@pytest.fixture
async def chain(url: str) -> AsyncIterator[VaultOnChain]:
    """A vault with a registered enclave, three payers, and a block every 50 ms."""
    async with fresh_vault(url) as chain:
        await fund(chain.rpc, GAS)
        await chain.register(ENCLAVE, PAYEE)
        for key in PAYERS:
            await chain.deposit(key, DEPOSIT)

        async def mine() -> None:
            while True:
                await chain.rpc.call("evm_mine")
                await asyncio.sleep(0.05)

        mining = asyncio.create_task(mine())
        try:
            yield chain
        finally:
            mining.cancel()
            await asyncio.gather(mining, return_exceptions=True)
            await chain.rpc.call("anvil_dropAllTransactions")


async def some_life(life: Life, chance: random.Random, served: dict[bytes, Served], proxy: RPCProxy) -> None:
    """Random requests at once, settlements among them, a bad endpoint now and then."""

    async def request() -> None:
        most = chance.randrange(20, 200)
        await life.serve(chance.randrange(3), most, chance.randrange(1, most // CHUNK + 1), served)

    async def settle() -> None:
        assert life.host.desk is not None
        await asyncio.sleep(chance.random() / 2)
        await life.host.desk.settlement.round()

    async def fault() -> None:
        await asyncio.sleep(chance.random() / 2)
        proxy.down = True
        await asyncio.sleep(chance.random() / 5)
        proxy.down = False

    work = [request() for _ in range(12)] + [settle(), settle(), fault()]
    chance.shuffle(work)
    tasks = [asyncio.create_task(one) for one in work]
    if chance.random() < 1 / 3:
        await asyncio.wait(tasks, timeout=chance.uniform(0.05, 1.5))
    else:
        moment = asyncio.create_task(life.after(chance.randrange(1, 100)))
        await asyncio.wait(
            (moment, asyncio.gather(*tasks, return_exceptions=True)),
            timeout=3,
            return_when=asyncio.FIRST_COMPLETED,
        )
        moment.cancel()
    for task in tasks:
        task.cancel()
    for told in await asyncio.gather(*tasks, return_exceptions=True):
        assert told is None or isinstance(told, HallmarkError | asyncio.CancelledError), repr(told)
    proxy.down = False


@pytest.mark.parametrize("seed", range(4))
async def test_every_account_adds_up_after_kills(chain: VaultOnChain, tmp_path: Path, seed: int) -> None:
    """Each request is charged what was delivered, a chunk more at most where it was cut off, and never more
    than was reserved; the chain has exactly what the accounts say, once.
    """
    chance = random.Random(seed)
    proxy, served, killed = RPCProxy(chain.rpc.url), dict[bytes, Served](), list[Life]()
    async with proxy.serving() as url:
        for number in range(6):
            life = Life(tmp_path / str(number), url, chain)
            await life.begin()
            await some_life(life, chance, served, proxy)
            life.kill(tmp_path / str(number + 1))
            killed.append(life)
            await life.host.close()
        life = Life(tmp_path / "6", url, chain)
        await life.begin()
        try:
            accounts = life.journal.accounts.accounts
            assert life.host.desk is not None
            async with asyncio.timeout(180):
                while not await life.host.desk.settlement.round():
                    continue
            charged = {number: account.spent for number, account in accounts.items()}
            assert any(0 < one.delivered < one.most and not one.whole for one in served.values())
            for request, one in served.items():
                use = life.journal.accounts.use_of(request)
                cost = 0 if use is None else use.charged
                assert cost is not None
                cut = 0 if one.whole else CHUNK
                assert one.delivered <= cost <= min(one.most, one.delivered + cut), (one, cost)
            for number, spent in charged.items():
                payer = accounts[number].payer
                lease = await chain.vault.lease(ENCLAVE.address, payer)
                assert lease.spent == spent
                assert accounts[number].reserved == 0
                mine = [one for one in served.values() if one.account == number]
                delivered, cut_off = sum(one.delivered for one in mine), sum(not one.whole for one in mine)
                assert delivered <= spent <= delivered + CHUNK * cut_off
                assert (await chain.vault.account(payer)).free + lease.allowance == DEPOSIT
            paid = await chain.token.balance(PAYEE) + await chain.vault.earned(PAYEE)
            assert paid == sum(charged.values()) > 0
        finally:
            await life.host.close()
