"""A gateway and a node that sell answers for what stock x402 clients take for Base Sepolia's USDC.

Their spending caps know some stablecoins and nothing else. So the chain is an anvil that says that it is Base
Sepolia, the development token's code stands at USDC's address there, and the node's owner asks for that. The
gateway, the enclave's code for money and answers, and the host's settlement are the product's own, in this
process; the log and the engine are those of `local_network`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.core.hashing import sha256
from hallmark.core.money import Asset, FreeUse, Offer, Price
from hallmark.core.statements import PriceOffer
from hallmark.crypto.secp256k1 import sign_statement
from hallmark.payments.accounts import Accounts
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.billing import Billing
from hallmark.services.enclave.leases import Leases
from hallmark.services.enclave.x402_billing import X402Billing
from hallmark.services.node.payments import NodePayments
from hallmark.services.node.settings import Payments
from hallmark.services.node.x402_store import X402Store
from hallmark.store.raw import RawDatabase
from hallmark.testing.anvil import fund, running_anvil
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.local_node import LocalNode
from hallmark.testing.network import CHAIN_ID, LittleNetwork, Party, key
from hallmark.testing.vaults import named_key
from hallmark.testing.x402 import PAYER, Chain, x402_chain

BASE_SEPOLIA: Final = 84_532
USDC: Final = bytes.fromhex("036CbD53842c5426634e7929541eC2318f3dCF7e")
GAS: Final = named_key("gas of a node on Base Sepolia")
SETTLEMENT: Final = key("settlement")
NO_VAULT: Final = b"\x76" * 20
"""Nobody is paid by a vault here, so none is there."""
CALLED: Final = "Hallmark Development Money"
DAY_MS: Final = 86_400_000
POURED: Final = 10_000_000
PATIENT_MS: Final = 60_000


class _Now(LittleNetwork):
    """A little network of today: stock clients sign by their own clock."""

    start = time.time_ns() // 1_000_000


class _Network(LocalNetwork):
    def _node(self, party: Party) -> LocalNode:
        node = super()._node(party)
        node.allows = {"request_ms": PATIENT_MS, "keep_alive_ms": PATIENT_MS}
        return node


class Seller(msgspec.Struct):
    """Where answers are sold, what the payer has left on the chain, and the enclave's accounts."""

    gateway: str
    rpc_url: str
    token: TokenContract
    node: LocalNode
    accounts: Accounts

    async def spent(self) -> int:
        """What the payer has less than at first."""
        return POURED - await self.token.balance(PAYER.address)


@contextlib.asynccontextmanager
async def seller(folder: Path) -> AsyncIterator[Seller]:
    """The network, inside the block; `testing.x402.PAYER` has money and lets Permit2 take it."""
    with running_anvil() as url:
        async with x402_chain(url, poured=1) as chain:
            token = await _become_base_sepolia(chain)
            async with _Network(net=_Now(nodes=1, found=False), answer_s=PATIENT_MS / 1000) as local:
                node = local.nodes[0]
                async with _paid(local, node, chain.rpc, folder) as journal:
                    yield Seller(local.url, url, token, node, journal.accounts)


async def _become_base_sepolia(chain: Chain) -> TokenContract:
    """Money first: the token's faucet flows on the development chain alone."""
    rpc = chain.rpc
    await rpc.call("anvil_setCode", hex0x(USDC), hex0x(await rpc.code(chain.token.address)))
    token = TokenContract(rpc, USDC)
    there = msgspec.structs.replace(chain, token=token)
    await there.pour(PAYER.address, POURED)
    await there.approve(PAYER)
    await fund(rpc, GAS)
    await rpc.call("anvil_setChainId", BASE_SEPOLIA)
    return token


@contextlib.asynccontextmanager
async def _paid(
    local: LocalNetwork, node: LocalNode, rpc: RPC, folder: Path
) -> AsyncIterator[AccountJournal]:
    """The node's billing behind the host's own money side, once every way to pay is taken on this chain."""
    settings = Payments(
        str(folder / "offer"),
        rpc_url=rpc.url,
        settle_seconds=200,
        withdraw_seconds=900,
        confirmations=1,
        poll_ms=20,
    )
    (folder / "offer").write_bytes(_offer(local, node))
    database = RawDatabase(f"sqlite:///{folder}/host.db")
    payee = node.party.owner.address
    host = NodePayments(settings, folder / "journal", GAS, payee, X402Store(database))
    loop, heard = asyncio.get_running_loop(), asyncio.Event()

    def to_host(message: control.FromEnclave) -> None:
        loop.call_soon(host.take, message)

    def to_enclave(message: control.ToEnclave) -> None:
        loop.call_soon(hear, message)

    def hear(message: control.ToEnclave) -> None:
        for answer in billing.on_message(message):
            to_host(answer)
        if isinstance(message, control.Terms) and message.permit2 and message.withdraw_delay:
            heard.set()

    await host.begin(to_enclave, lambda: None)
    journal, _ = AccountJournal.begin(b"", sha256(b"journal"), to_host, os.urandom, now=_now())
    billing = node.runtime.billing = _billing(node, journal, to_host)
    host.serving(SETTLEMENT.address)
    try:
        async with asyncio.timeout(PATIENT_MS / 1000):
            await heard.wait()
        yield journal
    finally:
        await host.settle(1)
        await host.close()
        database.close()


def _billing(
    node: LocalNode, journal: AccountJournal, send: Callable[[control.FromEnclave], None]
) -> Billing:
    leases = Leases(SETTLEMENT, journal, send, _now, 60)
    configuration = node.runtime.configuration
    x402 = X402Billing(SETTLEMENT, journal, send, _now, configuration.network)
    return Billing(configuration, journal, leases, x402)


def _offer(local: LocalNetwork, node: LocalNode) -> bytes:
    """The owner's offer: a unit a token in, two a token out."""
    owner, network, now = node.party.owner, local.net.genesis.network, local.net.now
    offer = Offer(
        network=hex0x(network),
        owner=hex0x(owner.address),
        payee=hex0x(owner.address),
        asset=Asset(BASE_SEPOLIA, hex0x(USDC), 6, "DEV", CALLED, "1", development=True),
        vault=hex0x(NO_VAULT),
        prices=(Price("digits", 1_000_000, 2_000_000),),
        free=FreeUse(),
        since=now - 1,
        until=now + DAY_MS,
    )
    statement = PriceOffer(network, owner.address, offer.digest(), now)
    return Entry(statement, (sign_statement(statement, CHAIN_ID, owner),), (offer.encode(),)).encode()


def _now() -> int:
    return time.time_ns() // 1_000_000
