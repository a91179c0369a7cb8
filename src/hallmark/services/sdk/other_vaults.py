"""The vaults that a home had before: what can be said of a payer's money in them without speaking to them.

A new version of the contract is another contract at another address, and what lies in the old one stays
there. This version may not be able to read its books; what the token says of it, every version can.
"""

from __future__ import annotations

import msgspec

from hallmark.core.amounts import show_amount
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import VerificationFailed
from hallmark.core.money import Asset
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract, moved
from hallmark.services.chain.vault import VaultContract
from hallmark.services.sdk.network import Chain


class OtherVault(msgspec.Struct, frozen=True):
    """A vault of before, with money of this payer: its address (0x-hex), what the payer put in and got back
    by the token's own word (atomic units of `asset`), what is free there (None: this version cannot read
    it), and why, as a reason code.
    """

    address: str
    asset: Asset
    put: int
    back: int
    free: int | None = None
    reason: str = ""

    @property
    def words(self) -> str:
        """A sentence or two for people."""
        put, back = show_amount(self.put, self.asset), show_amount(self.back, self.asset)
        said = (
            f"This network had another vault before, {self.address}. This wallet put {put} into it and got "
        )
        said += f"{back} back."
        if self.free is not None:
            free = show_amount(self.free, self.asset)
            return f"{said} {free} of it is free; a client of that vault withdraws it (client.json, `vault`)."
        return (
            f"{said} What of the rest was charged this version cannot read ({self.reason}). It stays there "
            "for this wallet: a client of the version that made it withdraws it (client.json, `vault`)."
        )


async def other_vaults(rpc: RPC, chain: Chain, payer: bytes, asset: Asset) -> tuple[OtherVault, ...]:
    """The vaults of before that this payer put money into, as far as the endpoint has their blocks. Raises
    what `RPC` raises.
    """
    found = []
    token = TokenContract(rpc, unhex(chain.token))
    for address in chain.former:
        vault = VaultContract(rpc, unhex(address))
        if not await vault.deployed() or not await token.balance(vault.address):
            continue
        blocks = range(chain.since, await rpc.head() + 1)
        _, put = await moved(rpc, token.address, payer, vault.address, blocks)
        _, back = await moved(rpc, token.address, vault.address, payer, blocks)
        if back >= put:
            continue
        one = OtherVault(hex0x(vault.address), asset, put, back)
        try:
            found.append(msgspec.structs.replace(one, free=(await vault.account(payer)).free))
        except VerificationFailed as error:
            found.append(msgspec.structs.replace(one, reason=error.reason))
    return tuple(found)
