"""What a node was paid beside the vault: by x402's rails, as its host has them on disk, and by token payouts,
as the chain shows them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import moved
from hallmark.services.chain.x402_settlement import receiver_totals

RAILS: Final = ("exact", "upto")


class Sum(msgspec.Struct, frozen=True):
    """So many payments, and what they come to (atomic units, as text)."""

    payments: int = 0
    amount: str = "0"

    def plus(self, payments: int, amount: int) -> Sum:
        """With these too."""
        return Sum(self.payments + payments, str(int(self.amount) + amount))


class RailSums(msgspec.Struct, frozen=True):
    """One of x402's rails: what blocks have, what is on its way there, and what the chain did not take."""

    settled: Sum = Sum()
    due: Sum = Sum()
    refused: Sum = Sum()


class HostEarnings(msgspec.Struct, frozen=True):
    """GET /earnings of a node's host, for one token (0x-hex): x402's rails by name, what was `claimed` of
    channels in all (atomic units, as text) and of how many, `issuer` of the tokens that it takes (an address;
    empty: none is known), and how many settlements wait for that.
    """

    token: str
    rails: dict[str, RailSums]
    claimed: Sum = Sum()
    issuer: str = ""
    tokens_waiting: int = 0


class Paid(msgspec.Struct, frozen=True):
    """What the chain says beside: all that was ever claimed of the payee's channels, by any of its nodes, and
    what of it was paid out; what the issuer of tokens paid the payee in the blocks that were read. None where
    the chain does not say.
    """

    channels_claimed: int | None = None
    channels_swept: int | None = None
    payouts: Sum | None = None


async def read_paid(rpc: RPC, token: bytes, payee: bytes, issuer: bytes, blocks: range) -> Paid:
    """What the chain tells now, and in these blocks. Raises what `RPC` raises."""
    claimed = swept = None
    try:
        claimed, swept = await receiver_totals(rpc, payee, token)
    except HallmarkError as error:
        if error.reason != "not_a_channel_contract":
            raise
    payouts = None
    if issuer:
        count, total = await moved(rpc, token, issuer, payee, blocks)
        payouts = Sum(count, str(total))
    return Paid(claimed, swept, payouts)
