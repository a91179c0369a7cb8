"""A payer at a whole network that prices everything: a home of his own, money, tokens."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Final

import msgspec

from hallmark import AsyncClient
from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract, faucet_call
from hallmark.services.sdk.wallet import FOLDER, Wallet
from hallmark.testing.anvil import fund, transact
from hallmark.testing.real_network import Network

NOW: Final = (0.0, 0.0)
POURED: Final = 1_000_000
PATIENCE_S: Final = 180
WAITS: Final = ("issuer_keys_not_proven", "nothing_on_sale", "connect_failed")


class Market:
    """A home with a wallet that has money, its plain client and its sealed one, and the chain."""

    def __init__(self, network: Network, home: Path) -> None:
        place = msgspec.json.decode((network.home / "client.json").read_bytes())
        (home / FOLDER).mkdir(parents=True)
        (home / "client.json").write_bytes(msgspec.json.encode(place))
        self.wallet = Wallet(Key(secrets.token_bytes(32)))
        self.plain = AsyncClient(home=home, wallet=self.wallet)
        self.sealed = AsyncClient(home=home, wallet=self.wallet, privacy="sealed")
        self.rpc = RPC(place["chain"]["rpc_url"])
        self.token = TokenContract(self.rpc, unhex(place["chain"]["token"]))
        self.issuer: str = place["issuer"]

    async def open(self) -> None:
        """Pour money."""
        payer = self.wallet.key
        await fund(self.rpc, payer)
        receipt = await transact(self.rpc, payer, self.token.address, faucet_call(payer.address, POURED))
        assert receipt["status"] == "0x1"

    async def buy(self, amount: str) -> int:
        """Tokens, as soon as a quorum has seen the issuer's keys."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await self.plain.tokens.buy(amount, NOW)
                except HallmarkError as error:
                    if error.reason not in WAITS:
                        raise
                await asyncio.sleep(0.5)

    async def close(self) -> None:
        """Let go of everything."""
        await self.plain.aclose()
        await self.sealed.aclose()
        await self.rpc.aclose()
