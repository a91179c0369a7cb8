"""A payer's account in the vault, over a chain's JSON-RPC: deposit, balance, withdrawal, history.

The endpoint is believed for what it shows; what is signed here can do no more than it says, whatever the
endpoint does with it. On a development chain a faucet's key pays the gas; elsewhere the wallet does.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable
from typing import Final

import msgspec

from hallmark.core.amounts import parse_amount, show_amount
from hallmark.core.document import hex0x, unhex
from hallmark.core.eip3009 import RECEIVE, Authorization, authorization_digest
from hallmark.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from hallmark.core.money import Asset
from hallmark.core.vault import WithdrawalRequest, vault_digest
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.rpc import RPC, Reverted, RPCRefused
from hallmark.services.chain.token import (
    FAUCET_LIMIT,
    TokenContract,
    approve_call,
    authorized_deposit_call,
    faucet_call,
)
from hallmark.services.chain.transactions import perform
from hallmark.services.chain.vault import (
    EVERYTHING,
    Account,
    VaultContract,
    deposit_call,
    finalize_call,
    release_call,
    signed_withdrawal_call,
    vault_error,
)
from hallmark.services.chain.vault_events import (
    CeilingSet,
    Deposited,
    Emitted,
    Leased,
    LeaseReturned,
    Settled,
    WithdrawalRequested,
    Withdrawn,
    lessees,
    vault_events,
)
from hallmark.services.sdk.network import Chain
from hallmark.services.sdk.other_vaults import OtherVault, other_vaults
from hallmark.services.sdk.wallet import Wallet

SIGNED_FOR_S: Final = 3_600
"""How long a signed deposit or withdrawal request can be submitted."""
OURS: Final = (CeilingSet, Deposited, Leased, LeaseReturned, Settled, WithdrawalRequested, Withdrawn)


class Balance(msgspec.Struct, frozen=True):
    """What a payer has, in atomic units of `asset`.

    `wallet` is outside the vault. `deposited` is in it, and of that: `free` in no lease, `leased` held by
    enclaves for answers (what they do not charge comes back), `withdrawing` asked back, payable from
    `ready_at` (unix s, 0: not asked). `spent` is what payees were paid so far; charges that are not settled
    yet are still in `leased`. `hidden` is how many leases are open that were not found here: their amounts
    are missing in `leased`. `others` are vaults that the network had before, with money of this payer: none
    of it is in these amounts.
    """

    asset: Asset
    wallet: int
    free: int
    leased: int
    withdrawing: int
    spent: int
    ready_at: int
    hidden: int = 0
    others: tuple[OtherVault, ...] = ()

    @property
    def deposited(self) -> int:
        """What is in the vault now."""
        return self.free + self.leased

    def words(self) -> dict[str, str]:
        """Each amount as people read it."""
        names = ("wallet", "deposited", "free", "leased", "withdrawing", "spent")
        return {name: show_amount(getattr(self, name), self.asset) for name in names}


class Movement(msgspec.Struct, frozen=True):
    """Something that happened to the account on the chain: block, its time (unix s, 0: not known), kind,
    atomic units, whom it concerns (0x-hex or empty), transaction.
    """

    block: int
    at: int
    kind: str
    amount: int
    party: str
    transaction: str


class Withdrawal(msgspec.Struct, frozen=True):
    """A request for money back: how much (EVERYTHING: all there is) and from when on it is paid (unix s)."""

    amount: int
    ready_at: int


class ChainAccount:
    """See the module docstring. `gas` pays for transactions: a faucet's key, or None for the wallet's.
    `network` is the id of the network that the vault must be of (32 bytes; empty: any).
    """

    def __init__(self, chain: Chain, wallet: Wallet, gas: Key | None = None, network: bytes = b"") -> None:
        self.chain, self.wallet, self._network = chain, wallet, network
        self._gas = gas or wallet.key
        self.rpc = RPC(chain.rpc_url)
        self.vault = VaultContract(self.rpc, unhex(chain.vault))
        self.token = TokenContract(self.rpc, unhex(chain.token))
        self._asset: Asset | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        await self.rpc.aclose()

    async def asset(self) -> Asset:
        """The vault's token, after a look that chain, vault and token are those that were named.

        Raises Conflict `other_chain`, `other_token`, `other_network`; VerificationFailed
        `vault_of_another_version`; and what reading raises.
        """
        if self._asset is None:
            if await self.rpc.chain_id() != self.chain.chain_id:
                raise Conflict(
                    "other_chain",
                    "The endpoint is of another chain than the one that was named.",
                    "See `chain`.",
                )
            parameters = await self.vault.parameters()
            await self.vault.require_spoken()
            if parameters.asset != self.token.address:
                raise Conflict(
                    "other_token",
                    "The vault holds another token than the one that was named.",
                    "Compare `token` and `vault` of the chain with the network's offers.",
                )
            if self._network not in (b"", parameters.network):
                raise Conflict(
                    "other_network",
                    "The vault is of another network than the trust file.",
                    "Compare `vault` of the chain and the trust file: they belong together.",
                )
            domain = await self.token.domain(self.chain.chain_id)
            self._asset = Asset(
                self.chain.chain_id,
                self.chain.token,
                await self.token.decimals(),
                await self.token.symbol(),
                domain.name,
                domain.version,
                self.chain.development,
            )
        return self._asset

    async def fund(self, amount: str) -> int:
        """Make development money for the wallet; atomic units. Raises InvalidInput `not_development`,
        `amount_too_large`.
        """
        units = parse_amount(amount, (await self.asset()).decimals)
        if not self.chain.development:
            raise InvalidInput(
                "not_development",
                "Only a development chain has a faucet.",
                "Send tokens to the wallet's address.",
            )
        if units > FAUCET_LIMIT:
            raise InvalidInput(
                "amount_too_large", f"The faucet gives {FAUCET_LIMIT} atomic units at once.", "Ask for less."
            )
        await self._send(self.token.address, faucet_call(self.wallet.key.address, units))
        return units

    async def deposit(self, amount: str) -> bytes:
        """Put tokens of the wallet into its account; the hash of the transaction.

        Where the token takes EIP-3009 authorizations the wallet needs no gas of its own for it. Raises
        Conflict `insufficient_funds`, `call_refused`.
        """
        units = parse_amount(amount, (await self.asset()).decimals)
        payer, vault = self.wallet.key, self.vault.address
        held = await self.token.balance(payer.address)
        if not 0 < units <= held:
            raise Conflict(
                "insufficient_funds",
                f"The wallet has {held} atomic units, and {units} were to be deposited.",
                "On a development network: hallmark wallet fund" if self.chain.development else "",
            )
        if not await self.token.takes_authorizations():
            await self._send(self.token.address, approve_call(vault, units), by=payer)
            return await self._send(vault, deposit_call(payer.address, units), by=payer)
        until = await self._now() + SIGNED_FOR_S
        authorization = Authorization(payer.address, vault, units, 0, until, secrets.token_bytes(32))
        digest = authorization_digest(RECEIVE, authorization, await self.token.domain(self.chain.chain_id))
        return await self._send(vault, authorized_deposit_call(authorization, payer.sign(digest)))

    async def others(self) -> tuple[OtherVault, ...]:
        """The vaults that this network had before, where money of this wallet may be."""
        if not self.chain.former:
            return ()
        return await other_vaults(self.rpc, self.chain, self.wallet.key.address, await self.asset())

    async def balance(self, enclaves: Iterable[bytes] = (), payees: Iterable[bytes] = ()) -> Balance:
        """What there is. `enclaves` and `payees` are looked at beside those that the vault told of."""
        asset = await self.asset()
        held = await self.token.balance(self.wallet.key.address)
        payer, told = self.wallet.key.address, await self._told()
        account = await self.vault.account(payer)
        known_payees = {*payees, *(e.event.payee for e in told if isinstance(e.event, CeilingSet))}
        committed = sum([(await self.vault.ceiling(payer, payee)).committed for payee in known_payees])
        leases = [await self.vault.lease(key, payer) for key in {*enclaves, *lessees(told, payer)}]
        open_ones = [lease for lease in leases if lease.until]
        leased = sum(lease.allowance - lease.spent for lease in open_ones)
        return Balance(
            asset,
            held,
            account.free,
            leased,
            _asked(account, leased),
            max(0, committed - leased),
            account.ready_at,
            account.open_leases - len(open_ones),
            await self.others(),
        )

    async def withdraw(self, amount: str | None) -> Withdrawal:
        """Ask for an amount back; None: everything there is, "0": nothing any more. It is paid by `finish`
        after the vault's delay. Raises NotFound `no_account`, Conflict `call_refused`.
        """
        units = EVERYTHING if amount is None else parse_amount(amount, (await self.asset()).decimals)
        payer = self.wallet.key
        await self._account()
        nonce, deadline = await self.vault.nonce(payer.address), await self._now() + SIGNED_FOR_S
        request = WithdrawalRequest(payer.address, units, nonce, deadline)
        signature = payer.sign(vault_digest(request, self.chain.chain_id, self.vault.address))
        await self._send(self.vault.address, signed_withdrawal_call(request, signature))
        return Withdrawal(units, (await self.vault.account(payer.address)).ready_at)

    async def finish(self, enclaves: Iterable[bytes] = ()) -> int:
        """Have what was asked back paid to the wallet, once its time has come; atomic units.

        Leases that ended are given back first. Raises NotFound `no_account`, Conflict `not_ready`,
        `call_refused`.
        """
        payer = self.wallet.key.address
        account, now = await self._account(), await self._now()
        if not account.ready_at or now < account.ready_at:
            when = f"It is paid in {account.ready_at - now} s."
            raise Conflict(
                "not_ready",
                when if account.ready_at else "Nothing was asked back.",
                "The vault's delay protects what enclaves have leased until their leases have ended.",
            )
        for key in {*enclaves, *lessees(await self._told(), payer)}:
            with contextlib.suppress(Conflict):  # one that cannot end yet
                await self._send(self.vault.address, release_call(key, payer))
        before = await self.token.balance(payer)
        await self._send(self.vault.address, finalize_call(payer))
        return await self.token.balance(payer) - before

    async def history(self, most: int = 50) -> tuple[Movement, ...]:
        """What happened to the account on the chain, newest first; older blocks may be gone at the
        endpoint.
        """
        mine, _ = self.wallet.key.address, await self.asset()
        told = [found for one in await self._told() if (found := _movement(one, mine)) is not None]
        newest, times = told[::-1][:most], dict[int, int]()
        for movement in newest:
            if movement.block not in times:
                times[movement.block] = await self.rpc.block_time(movement.block) or 0
        return tuple(msgspec.structs.replace(one, at=times[one.block]) for one in newest)

    async def _told(self) -> tuple[Emitted, ...]:
        return await vault_events(
            self.rpc, self.vault.address, self.chain.since, await self.rpc.head(), only=OURS
        )

    async def _account(self) -> Account:
        account = await self.vault.account(self.wallet.key.address)
        if account.empty:
            elsewhere = " ".join(one.words for one in await self.others())
            said = f"This wallet has nothing in the vault {hex0x(self.vault.address)}."
            raise NotFound("no_account", said, elsewhere or "Deposit first.")
        return account

    async def _now(self) -> int:
        return await self.rpc.block_time(await self.rpc.head()) or 0

    async def _send(self, to: bytes, data: bytes, *, by: Key | None = None) -> bytes:
        """The hash of a mined transaction that did what it was for. Raises Conflict `call_refused`,
        Unavailable `no_gas`, `transaction_failed`.
        """
        key = by or self._gas
        try:
            return await perform(self.rpc, key, to, data)
        except Reverted as revert:
            why = vault_error(revert) or revert.message
            raise Conflict("call_refused", f"The chain refuses this: {why}.", "Nothing was sent.") from revert
        except RPCRefused as refused:
            raise Unavailable(
                "no_gas", f"The chain takes no transaction of {hex0x(key.address)}.", refused.message
            ) from refused


def _asked(account: Account, leased: int) -> int:
    """What a request for everything comes to now."""
    return min(account.withdrawing, account.free + leased)


def _movement(emitted: Emitted, payer: bytes) -> Movement | None:
    """An event as a payer reads it; None for one of another account."""
    event = emitted.event

    def told(kind: str, amount: int, party: bytes = b"") -> Movement:
        by = hex0x(party) if party else ""
        return Movement(emitted.block, 0, kind, amount, by, hex0x(emitted.transaction))

    match event:
        case Deposited(account, sender, amount) if account == payer:
            return told("deposited", amount, sender)
        case CeilingSet(payer=account) if account == payer:
            return told("ceiling", event.max_claimable, event.payee)
        case LeaseReturned(enclave, account, amount) if account == payer:
            return told("lease returned", amount, enclave)
        case WithdrawalRequested(account, amount, _) if account == payer:
            return told("withdrawal asked", amount)
        case Withdrawn(account, amount) if account == payer:
            return told("withdrawn", amount, payer)
        case Leased() | Settled():
            rows = [row for row in event.rows if row.payer == payer]
            if not rows:
                return None
            leased = isinstance(event, Leased)
            return told(
                "leased up to" if leased else "charged up to",
                rows[0].amount,
                event.enclave if isinstance(event, Leased) else event.payee,
            )
    return None
