"""A client's money: the wallet of its home, the account in the vault, and what it may sign for requests."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from hallmark.core.errors import InvalidInput, NotFound
from hallmark.crypto.secp256k1 import Key
from hallmark.http.client import Pool
from hallmark.services.sdk.chain_account import ChainAccount
from hallmark.services.sdk.issuer_client import IssuerClient
from hallmark.services.sdk.network import Chain, Place
from hallmark.services.sdk.spending import Limits, Listing, Spending
from hallmark.services.sdk.spending_store import SpendingStore
from hallmark.services.sdk.token_store import TokenStore
from hallmark.services.sdk.tokens import Proven, Tokens
from hallmark.services.sdk.wallet import FOLDER, Wallet, read_key

ADDRESS: Final = re.compile("0x[0-9a-f]{40}")
FAUCET: Final = "faucet.secp256k1"


class Money:
    """Everything is opened when it is first needed: a client that never pays opens nothing. `network` is the
    id of the network that the vault must be of (empty: any).
    """

    def __init__(
        self, place: Place, wallet: Wallet | None = None, chain: Chain | None = None, network: bytes = b""
    ) -> None:
        self._home, self._network = Path(place.home), network
        self._wallet, self._chain = wallet, chain or place.chain
        self._account: ChainAccount | None = None
        self._store: SpendingStore | None = None
        self._issuer_url, self._pool = place.issuer, Pool(per_origin=4)
        self._token_store: TokenStore | None = None
        self._tokens: Tokens | None = None
        self.proven: Proven | None = None
        """What shows that the log has an issuer's key set."""
        self.sealed = False
        """Whether nobody may be asked directly, from this machine's address."""

    @property
    def chain(self) -> Chain:
        """Where the network's money is. Raises InvalidInput `no_chain`, `bad_chain`."""
        if self._chain is None:
            raise InvalidInput(
                "no_chain",
                "This client does not know the chain and the vault of its network.",
                "A home of `hallmark up` says it in client.json; else give chain=.",
            )
        named = (("token", self._chain.token), ("vault", self._chain.vault))
        for name, address in (*named, *(("former", one) for one in self._chain.former)):
            if not ADDRESS.fullmatch(address):
                raise InvalidInput(
                    "bad_chain",
                    f"`{name}` of this client's chain is no address.",
                    "It is 0x and 40 lower-case hexadecimal digits, in the home's client.json or in chain=.",
                )
        return self._chain

    @property
    def wallet(self) -> Wallet:
        """The wallet. Raises as `Wallet.load` does."""
        if self._wallet is None:
            self._wallet = Wallet.load(self._home)
        return self._wallet

    @property
    def account(self) -> ChainAccount:
        """The account in the vault; on a development chain the home's faucet pays for transactions."""
        if self._account is None:
            self._account = ChainAccount(self.chain, self.wallet, self._gas(), self._network)
        return self._account

    @property
    def store(self) -> SpendingStore:
        """What this home has signed away."""
        if self._store is None:
            self._store = SpendingStore(self._home / FOLDER)
        return self._store

    @property
    def tokens(self) -> Tokens:
        """The home's tokens."""
        if self._tokens is None:
            self._token_store = TokenStore(self._home / FOLDER)
            self._tokens = Tokens(
                self._token_store,
                self._issuer,
                lambda: self.wallet,
                lambda: self.chain,
                network=self._network,
                proven=self.proven,
            )
        return self._tokens

    def _issuer(self) -> IssuerClient:
        if self.sealed:
            raise InvalidInput(
                "not_on_the_sealed_way",
                "An issuer is asked directly, from this machine's address.",
                "Use a plain client for it, at another time than the questions that must not be told apart.",
            )
        if not self._issuer_url:
            raise InvalidInput(
                "no_issuer",
                "No issuer of tokens is known in this home.",
                "A home of `hallmark up` names one where answers cost something.",
            )
        return IssuerClient(self._issuer_url, self._pool)

    def spending(self, limits: Limits, listing: Listing) -> Spending:
        """What signs payments within these limits."""
        return Spending(
            limits,
            self.wallet,
            self.chain,
            store=self.store,
            vault=self.account.vault,
            listing=listing,
            clock=lambda: time.time_ns() // 1_000_000,
        )

    async def aclose(self) -> None:
        """Close what was opened."""
        if self._account is not None:
            await self._account.aclose()
        if self._store is not None:
            self._store.close()
        if self._token_store is not None:
            self._token_store.close()
        await self._pool.aclose()

    def _gas(self) -> Key | None:
        if not self.chain.development:
            return None
        try:
            return read_key(self._home / "keys" / FAUCET, "faucet")
        except NotFound:
            return None
