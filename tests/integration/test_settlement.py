"""How a node is paid, on a real chain: leases, settlements and collections through all that chains do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from hallmark.core.vault import SpendingCeiling
from hallmark.services.chain.vault import OpenLease, withdrawal_call
from hallmark.services.chain.vault_events import Collected, Settled, vault_events
from hallmark.services.enclave import control
from hallmark.services.node.payments import NodePayments
from hallmark.testing.anvil import fund, running_anvil
from hallmark.testing.rpc_proxy import RPCProxy
from hallmark.testing.settling import SigningEnclave, host_payments, offer_entry
from hallmark.testing.vaults import FOREVER, VaultOnChain, fresh_vault, named_key

pytestmark = pytest.mark.integration

GAS, ENCLAVE = named_key("gas of the host"), named_key("settling enclave")
PAYEE = named_key("paid owner").address
DEPOSIT = 1_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


class Scene:
    """A vault with payers, a host behind an endpoint that can be bad, and an enclave that signs."""

    def __init__(self, chain: VaultOnChain, proxy: RPCProxy, folder: Path, url: str) -> None:
        self.chain, self.proxy, self.folder, self.url = chain, proxy, folder, url
        (folder / "offer").write_bytes(offer_entry(PAYEE, chain.parameters.asset, chain.address))
        self.payers: list[bytes] = []

    async def start(self, **changes: int) -> None:
        """A host and its enclave begin."""
        self.host: NodePayments = host_payments(self.folder, self.url, GAS, PAYEE, **changes)
        self.enclave = SigningEnclave(self.host, ENCLAVE, self.chain.address)
        await self.host.begin(self.enclave.hear, lambda: None)
        self.host.serving(ENCLAVE.address)

    async def restart(self) -> None:
        """The host is killed and comes back with its enclave, which has its journal: its charges and the
        sequence that it came to.
        """
        before = self.enclave
        await self.host.close()
        await self.start()
        self.enclave.charged, self.enclave.payers = dict(before.charged), dict(before.payers)
        for _ in range(before.next()):
            self.enclave.next()

    def ceiling(self, name: str, most: int = DEPOSIT, nonce: int = 1) -> tuple[SpendingCeiling, bytes]:
        """What a payer signed."""
        key = named_key(name)
        signed = SpendingCeiling(key.address, PAYEE, bytes(20), most, nonce, FOREVER)
        return signed, self.chain.sign(signed, key)

    async def payer(self, name: str) -> None:
        """Somebody deposits."""
        await self.chain.deposit(named_key(name), DEPOSIT)
        self.payers.append(named_key(name).address)

    async def leased(self, name: str, amount: int) -> control.AccountState:
        """A payer comes and gets a lease."""
        state = await self.enclave.ask(*self.ceiling(name))
        assert state.reason == "", state
        state = await self.enclave.lease(state, amount)
        assert state.reason == "", state
        return state

    def asked(self, state: control.AccountState) -> bytes:
        """Of whom this was asked."""
        return self.enclave.payers[state.id]

    async def round(self, *, closing: bool = False) -> bool:
        """One round of settlement."""
        assert self.host.desk is not None
        async with asyncio.timeout(180):
            return await self.host.desk.settlement.round(closing=closing)

    async def settled(self) -> bool:
        """Whether a round comes to its end, now or with the next tries."""
        for _ in range(20):
            if await self.round():
                return True
        return False

    async def adds_up(self) -> None:
        """Charged once, all of it, and every unit is where it belongs."""
        vault, charged, there = self.chain.vault, 0, 0
        for payer in self.payers:
            lease, free = await vault.lease(ENCLAVE.address, payer), (await vault.account(payer)).free
            assert lease.spent == self.enclave.charged.get(payer, 0)
            assert free + lease.allowance == DEPOSIT
            charged, there = charged + lease.spent, there + free + lease.allowance - lease.spent
        paid = await self.chain.token.balance(PAYEE)
        assert await vault.earned(PAYEE) + paid == charged
        assert await self.chain.token.balance(self.chain.address) == there + charged - paid


@pytest.fixture
async def scene(url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """A registered enclave, three payers, and a block every 50 ms."""
    async with fresh_vault(url) as chain:
        await fund(chain.rpc, GAS)
        await chain.register(ENCLAVE, PAYEE)
        proxy = RPCProxy(url)

        async def mine() -> None:
            while True:
                await chain.rpc.call("evm_mine")
                await asyncio.sleep(0.05)

        async with proxy.serving() as endpoint:
            scene = Scene(chain, proxy, tmp_path, endpoint)
            for name in ("ann", "bob", "cid"):
                await scene.payer(name)
            await scene.start()
            mining = asyncio.create_task(mine())
            try:
                yield scene
            finally:
                await scene.host.close()
                mining.cancel()
                await asyncio.gather(mining, return_exceptions=True)
                await chain.rpc.call("anvil_dropAllTransactions")
                await chain.rpc.call("evm_setAutomine", True)
                await chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))


async def test_a_payer_comes_is_charged_and_the_owner_is_paid(scene: Scene) -> None:
    """Ceiling and lease in one transaction; what was charged is settled, and collected by the payee."""
    state = await scene.enclave.ask(*scene.ceiling("ann", most=600))
    assert (state.reason, state.free, state.most, state.allowance) == ("", DEPOSIT, 600, 0)
    assert 0 < state.term < 300
    before = scene.proxy.calls.get("eth_sendRawTransaction", 0)
    state = await scene.enclave.lease(state, 250)
    assert (state.reason, state.free, state.most, state.allowance) == ("", DEPOSIT - 250, 600, 250)
    assert scene.proxy.calls["eth_sendRawTransaction"] == before + 1
    assert (await scene.chain.vault.ceiling(scene.asked(state), PAYEE)).max_claimable == 600
    scene.enclave.charged = {scene.asked(state): 120}
    assert await scene.round()
    assert await scene.chain.token.balance(PAYEE) == 120
    await scene.adds_up()
    assert scene.host.desk is not None
    last = scene.host.desk.settlement.last
    assert last is not None
    assert (last.accounts, last.charged) == (1, 120)
    assert await scene.round()
    assert len(scene.enclave.signed) == 1


async def test_many_payers_at_once(scene: Scene) -> None:
    """Leases of many payers go out in their order, several under way, each answered by itself."""
    names = [f"crowd {number}" for number in range(24)]
    for name in names:
        await scene.payer(name)
    states = await asyncio.gather(*(scene.leased(name, 100) for name in names))
    assert [state.allowance for state in states] == [100] * 24
    scene.enclave.charged = {scene.asked(state): 7 for state in states}
    assert await scene.round()
    await scene.adds_up()


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("nobody", "account_absent"),
        ("other payee", "ceiling_refused"),
        ("wrong key", "ceiling_refused"),
        ("older ceiling", "ceiling_refused"),
        ("more than free", "lease_refused"),
        ("withdrawing", "lease_refused"),
        ("unregistered", "lease_refused"),
        ("down", "chain_unreachable"),
        ("null", "chain_unreachable"),
    ],
)
async def test_what_cannot_be_leased_has_a_reason(scene: Scene, case: str, reason: str) -> None:
    """Each of the ways in which a payer gets no credit here."""
    ceiling, signature = scene.ceiling("nobody" if case == "nobody" else "ann")
    amount = DEPOSIT + 1 if case == "more than free" else 10
    if case == "other payee":
        ceiling = msgspec.structs.replace(ceiling, payee=b"\x77" * 20)
    elif case == "wrong key":
        signature = scene.chain.sign(ceiling, named_key("bob"))
    elif case == "older ceiling":
        await scene.chain.send(scene.chain.ceiling(named_key("ann"), PAYEE, DEPOSIT, nonce=2))
    elif case == "unregistered":
        await scene.chain.revoke(ENCLAVE)
    elif case in ("down", "null"):
        scene.proxy.down, scene.proxy.nulls = (
            case == "down",
            frozenset("*") if case == "null" else frozenset(),
        )
    state = await scene.enclave.ask(ceiling, signature)
    if reason == "lease_refused":
        assert state.reason == ""
        if case == "withdrawing":
            await fund(scene.chain.rpc, named_key("ann"))
            await scene.chain.send(withdrawal_call(DEPOSIT), key=named_key("ann"))
        state = await scene.enclave.lease(state, amount)
    assert state.reason == reason


async def test_a_ceiling_may_have_more_than_64_bits(scene: Scene) -> None:
    """Beyond 64 bits, where MessagePack's integers end: it comes whole, and a lease of less is got."""
    ceiling, signature = scene.ceiling("ann", most=2**95)
    state = await scene.enclave.ask(ceiling, signature)
    assert (state.reason, state.most) == ("", 2**95)
    leased = await scene.enclave.lease(state, DEPOSIT)
    assert (leased.reason, leased.allowance) == ("", DEPOSIT)


async def test_a_ceiling_that_another_request_brought_is_no_obstacle(scene: Scene) -> None:
    """Two requests of one payer ask at once; the second lease goes without the ceiling that is there now."""
    first = await scene.enclave.ask(*scene.ceiling("ann"))
    second = await scene.enclave.ask(*scene.ceiling("ann"))
    states = await asyncio.gather(scene.enclave.lease(first, 50), scene.enclave.lease(second, 80))
    assert [state.reason for state in states] == ["", ""]
    assert (await scene.chain.vault.lease(ENCLAVE.address, scene.asked(states[0]))).allowance == 80


async def test_a_crash_settles_with_the_next_start(scene: Scene) -> None:
    """A host that comes back knows of no account: the enclave names them, and the chain is asked."""
    states = [await scene.leased(name, 100) for name in ("ann", "bob")]
    scene.enclave.charged = {scene.asked(state): 30 for state in states}
    assert await scene.round()
    scene.enclave.charged[scene.asked(states[0])] = 55
    await scene.restart()
    assert await scene.round()
    await scene.adds_up()
    await scene.restart()
    assert await scene.round()
    await scene.adds_up()
    found = await vault_events(scene.chain.rpc, scene.chain.address, 0, await scene.chain.rpc.head())
    assert [one.event.total for one in found if isinstance(one.event, Settled)] == [60, 25]
    assert sum(one.event.amount for one in found if isinstance(one.event, Collected)) == 85


async def test_a_kill_between_signing_and_mining(scene: Scene) -> None:
    """The settlement is in the pool when the host dies: it counts once, whoever brings it in."""
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 40}
    await scene.chain.rpc.call("evm_setAutomine", False)
    waiting = asyncio.create_task(scene.round())
    await scene.proxy.asked("eth_sendRawTransaction", scene.proxy.calls["eth_sendRawTransaction"] + 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await scene.restart()
    scene.enclave.charged[scene.asked(state)] = 60
    assert await scene.settled()
    await scene.adds_up()


async def test_a_stop_gives_back_what_is_left(scene: Scene) -> None:
    """The last settlement closes the leases, so that the payer's money is free at once."""
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 40}
    await scene.host.settle(20)
    assert await scene.chain.vault.lease(ENCLAVE.address, scene.asked(state)) == OpenLease(40, 40, 0)
    assert (await scene.chain.vault.account(scene.asked(state))).free == DEPOSIT - 40


async def test_a_stop_does_not_wait_for_a_chain_that_is_down(scene: Scene) -> None:
    """It is bounded; the lease's window is there for the next start."""
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 40}
    scene.proxy.down = True
    async with asyncio.timeout(60):
        await scene.host.settle(0.5)
    scene.proxy.down = False
    await scene.restart()
    assert await scene.settled()
    await scene.adds_up()


async def test_a_stop_does_not_wait_for_a_chain_that_stops_as_well(scene: Scene) -> None:
    """The settlement is sent, and then nobody answers: it got in, or the next start sees that it did not."""
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 40}
    scene.proxy.nulls = frozenset(("eth_getTransactionReceipt",))
    sent = scene.proxy.calls["eth_sendRawTransaction"]
    stopping = asyncio.create_task(scene.host.settle(3_600))
    await scene.proxy.asked("eth_sendRawTransaction", sent + 1)
    scene.proxy.down = True
    async with asyncio.timeout(180):
        await stopping
    scene.proxy.down, scene.proxy.nulls = False, frozenset()
    await scene.restart()
    assert await scene.settled()
    assert await scene.chain.vault.lease(ENCLAVE.address, scene.asked(state)) == OpenLease(40, 40, 0)


@pytest.mark.parametrize("depth", [1, 3, 12])
async def test_a_reorganisation_of_leases_and_settlements(scene: Scene, depth: int) -> None:
    """The chain takes back blocks, more than the confirmations too: afterwards every account adds up."""
    rpc = scene.chain.rpc
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 30}
    assert await scene.round()
    before = await rpc.call("evm_snapshot")
    again = await scene.leased("bob", 200)
    scene.enclave.charged |= {scene.asked(state): 45, scene.asked(again): 60}
    assert await scene.round()
    for _ in range(depth):
        await rpc.call("evm_mine")
    await rpc.call("evm_revert", before)
    await rpc.call("anvil_dropAllTransactions")
    scene.enclave.charged[scene.asked(state)] = 50
    assert await scene.settled()
    await scene.adds_up()
    found = await vault_events(rpc, scene.chain.address, 0, await rpc.head())
    assert sum(one.event.total for one in found if isinstance(one.event, Settled)) == 110


async def test_blocks_change_places_while_a_settlement_is_under_way(scene: Scene) -> None:
    """anvil_reorg of blocks that held it: it goes in again, and counts once."""
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 30}
    waiting = asyncio.create_task(scene.settled())
    for _ in range(5):
        await asyncio.sleep(0.1)
        await scene.chain.rpc.call("anvil_reorg", 2, [])
    assert await waiting
    assert await scene.settled()
    await scene.adds_up()


async def test_a_fee_spike_and_dropped_transactions(scene: Scene) -> None:
    """While fees are beyond what was offered, and the pool loses what waits, nothing is lost."""
    rpc = scene.chain.rpc
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 30}
    await rpc.call("evm_setAutomine", False)
    await rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**12))
    waiting = asyncio.create_task(scene.settled())
    for _ in range(5):
        await scene.proxy.asked("eth_sendRawTransaction", scene.proxy.calls["eth_sendRawTransaction"])
        await rpc.call("anvil_dropAllTransactions")
        await asyncio.sleep(0.1)
    assert await waiting
    await scene.adds_up()


async def test_an_endpoint_that_is_down_for_some_rounds(scene: Scene) -> None:
    """Payers hear so, rounds fail and say why; then all that was charged is settled. An hour that passes on
    the chain is in `test_chain_outage`.
    """
    state = await scene.leased("ann", 500)
    scene.proxy.down = True
    assert (await scene.enclave.ask(*scene.ceiling("bob"))).reason == "chain_unreachable"
    assert scene.host.desk is not None
    settlement = scene.host.desk.settlement
    for charged in (30, 60, 90):
        scene.enclave.charged = {scene.asked(state): charged}
        assert not await scene.round()
    assert settlement.problem == "chain_unreachable"
    assert settlement.failing_since > 0
    scene.proxy.down = False
    assert await scene.settled()
    assert (settlement.problem, settlement.failing_since) == ("", 0)
    await scene.adds_up()


async def test_an_endpoint_that_is_late_behind_and_has_nulls(scene: Scene) -> None:
    """Answers out of order, of older blocks, and null ones: rounds may fail, and nothing is charged twice."""
    states = [await scene.leased(name, 500) for name in ("ann", "bob", "cid")]
    scene.proxy.behind, scene.proxy.late_s = 3, 0.02
    for step in range(1, 6):
        scene.proxy.nulls = frozenset(("eth_getTransactionReceipt",)) if step % 2 else frozenset()
        scene.enclave.charged = {scene.asked(state): 10 * step + state.id for state in states}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await scene.round()
    scene.proxy.behind, scene.proxy.late_s, scene.proxy.nulls = 0, 0.0, frozenset()
    assert await scene.settled()
    await scene.adds_up()


async def test_a_silent_enclave_costs_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An enclave that does not sign fails a round, and nothing goes out."""
    monkeypatch.setattr("hallmark.services.node.settlement.SIGNED_S", 0.05)
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 30}
    scene.enclave.quiet = True
    sent = scene.proxy.calls["eth_sendRawTransaction"]
    assert not await scene.round()
    assert scene.host.problem == "enclave_silent"
    assert scene.proxy.calls["eth_sendRawTransaction"] == sent


async def test_what_comes_too_late_is_said_and_not_sent(scene: Scene) -> None:
    """After the window nothing can be charged: it is no settlement, and the others' rows go on."""
    first = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(first): 30}
    assert await scene.round()
    await scene.chain.pass_time(700)
    scene.enclave.charged = {scene.asked(first): 70}
    sent = scene.proxy.calls["eth_sendRawTransaction"]
    assert await scene.round()
    assert scene.proxy.calls["eth_sendRawTransaction"] == sent
    assert scene.host.desk is not None
    assert scene.host.desk.settlement.too_late == 40
    assert await scene.chain.vault.earned(PAYEE) + await scene.chain.token.balance(PAYEE) == 30


async def test_a_journal_that_was_lost_costs_no_settlement(scene: Scene) -> None:
    """After a start nobody has told the enclave what the chain has; a row below it would refuse all others'.
    It is told and signs again, and one settlement goes out.
    """
    ann, bob = [scene.asked(await scene.leased(name, 100)) for name in ("ann", "bob")]
    scene.enclave.charged = {ann: 50}
    assert await scene.round()
    await scene.restart()
    scene.enclave.charged = {ann: 20, bob: 30}
    sent = scene.proxy.calls["eth_sendRawTransaction"]
    assert await scene.round()
    assert [asked.settled for asked in scene.enclave.settles] == [{}, {ann: 50, bob: 0}]
    assert scene.proxy.calls["eth_sendRawTransaction"] == sent + 2  # it and the collection of what it earned
    assert [(await scene.chain.vault.lease(ENCLAVE.address, one)).spent for one in (ann, bob)] == [50, 30]


async def test_small_earnings_wait(scene: Scene) -> None:
    """Below `collect_from` nothing is collected; the vault keeps it for the payee."""
    await scene.host.close()
    await scene.start(collect_from=50)
    state = await scene.leased("ann", 100)
    scene.enclave.charged = {scene.asked(state): 49}
    assert await scene.round()
    assert await scene.chain.vault.earned(PAYEE) == 49
    scene.enclave.charged = {scene.asked(state): 50}
    assert await scene.round()
    assert await scene.chain.token.balance(PAYEE) == 50


async def test_epochs_come_by_themselves(scene: Scene) -> None:
    """Without anybody's doing a round comes each epoch; /healthz says when the next is and what waits."""
    await scene.host.close()
    await scene.start(settle_seconds=1)
    state = await scene.leased("ann", 100)
    before = int(time.time() * 1000)
    scene.enclave.charged = {scene.asked(state): 49}
    async with asyncio.timeout(180):
        while await scene.chain.token.balance(PAYEE) < 49:
            await scene.proxy.asked("eth_sendRawTransaction", 2)
    status = scene.host.status()["settlement"]
    assert isinstance(status, dict)
    assert status["next"] > before
    assert set(status) == {"next", "unsettled", "too_late", "problem", "last"}
