"""Money for throw-away wallets of a development chain: gas from a funded key, and the token's own faucet."""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import InvalidInput
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import FAUCET_LIMIT, faucet_call
from hallmark.services.chain.transactions import perform

DEVELOPMENT_CHAIN: Final = 31_337
GAS_WEI: Final = 10**17
"""What an account is given for gas: a tenth of an ether, hundreds of calls of the vault."""


async def pour(rpc: RPC, key: Key, token: bytes, holder: bytes, amount: int) -> None:
    """Give `holder` (20 bytes) `amount` atomic units of the development token at `token`, and gas if it has
    little. `key` pays.

    Raises InvalidInput `not_development_money` on any other chain, `faucet_limit`; and what `perform` raises.
    """
    if await rpc.chain_id() != DEVELOPMENT_CHAIN:
        raise InvalidInput(
            "not_development_money", "Only the development chain gives money away.", "See docs/payments.md."
        )
    if not 0 <= amount <= FAUCET_LIMIT:
        raise InvalidInput(
            "faucet_limit",
            f"The faucet gives at most {FAUCET_LIMIT:,} atomic units at once.",
            "Ask again for more.",
        )
    if await rpc.balance(holder) < GAS_WEI // 2:
        await perform(rpc, key, holder, value=GAS_WEI)
    if amount:
        await perform(rpc, key, token, faucet_call(holder, amount))
