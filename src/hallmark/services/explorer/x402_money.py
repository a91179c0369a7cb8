"""Whether an x402 payment of a receipt was settled, as the chain says it now.

    exact, upto         the payer's nonce: unused, or used by the transaction that paid the payee
    batch-settlement    what the chain has claimed of the channel, beside what was charged up to this answer

It is read anew for each page, so what a chain takes back reads as not settled again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.money import Payment
from hallmark.core.x402_payment import Authorization, Channel, read_payment
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.x402_lookup import permitted, submitted
from hallmark.services.chain.x402_settlement import channel_state, payer_state, receiver_totals
from hallmark.services.explorer import wording
from hallmark.services.explorer.receipt_context import ReceiptContext
from hallmark.services.explorer.vault_reader import NO_CHAIN, VaultReader

SIGNED_AT: Final = 4
"""What the payer signed, among an entry's attachments."""
RAILS: Final = ("exact", "upto", "batch-settlement")
CANNOT: Final = "Whether this was settled cannot be said here"


class Standing(msgspec.Struct, frozen=True):
    """How a payment stands: as `Money.settled` has it, the sentence, the transaction (0x-hex, or empty)."""

    settled: str
    sentence: str
    transaction: str = ""


async def standing(told: ReceiptContext, record: Payment, reader: VaultReader) -> Standing:
    """How a receipt's x402 payment stands. Raises nothing."""
    asset = record.asset
    try:
        payment = read_payment(told.entry.attachments[SIGNED_AT])
    except (HallmarkError, IndexError):
        return Standing("unknown", f"{CANNOT}: what the payer signed is not here.")
    if asset is None or payment.token != unhex(asset.address):
        return Standing("unknown", f"{CANNOT}: what the payer signed is of another token than the record.")
    if not int(record.charged):
        return Standing("nothing", "Nothing was charged for this answer, so there is nothing to settle.")

    async def ask(rpc: RPC) -> Standing:
        if await rpc.chain_id() != asset.chain_id:
            return Standing("unknown", f"{CANNOT}: chain {asset.chain_id} is not the one that is read here.")
        if payment.channel is not None:
            return await _channel(rpc, payment, payment.channel, int(record.charged))
        return await _one_shot(rpc, payment)

    try:
        return await reader.ask(hex0x(payment.digest) + record.charged, ask)
    except Unavailable as error:
        why = "this explorer reads no chain" if error.reason == NO_CHAIN else "the chain does not answer now"
        return Standing("unknown", f"{CANNOT}: {why} ({error.reason}).")
    except HallmarkError as error:
        return Standing("unknown", f"{CANNOT}: the chain's contracts do not say ({error.reason}).")


async def _one_shot(rpc: RPC, payment: Authorization) -> Standing:
    """Of `exact` and `upto`."""
    head = await rpc.head()
    now = await rpc.block_time(head) or 0
    state = await payer_state(rpc, payment)
    if state.used:
        found = await submitted(rpc, payment, head) or await permitted(rpc, payment, head)
        if found is not None:
            said = (
                f"Settled: block {found.block:,} holds the transaction that used the payer's authorization "
                f"and moved the money to the payee; the chain is at block {head:,}."
            )
            return Standing("yes", said, hex0x(found.transaction))
        said = (
            f"The payer's authorization is used, as of block {head:,}, and no transaction of the newest "
            "blocks was found that paid the payee by it: it was settled longer ago, or taken back."
        )
        return Standing("unknown", said)
    until = wording.moment(1_000 * payment.expires)
    if payment.expires < now:
        said = f"Not settled, and what the payer signed held until {until}: nobody can settle it any more."
        return Standing("lapsed", said)
    said = (
        f"Not settled yet: as of block {head:,} the payer's authorization is unused. The node's host submits "
        f"it as soon as the chain takes it; it will be settled by {until}, when it ends, or not at all."
    )
    return Standing("no", said)


async def _channel(rpc: RPC, payment: Authorization, channel: Channel, charged: int) -> Standing:
    """Of a channel: a voucher is for what was charged before and the most of its request."""
    due = channel.max_claimable - payment.amount + charged
    head, state = await rpc.head(), await channel_state(rpc, channel.id)
    books = f"up to this answer the channel was charged {due:,} units"
    if state.total_claimed >= due:
        claimed, paid = await receiver_totals(rpc, channel.config.receiver, payment.token)
        swept = (
            "all that was claimed for the payee was paid out to it"
            if paid >= claimed
            else f"{claimed - paid:,} units that were claimed for the payee wait to be paid out to it"
        )
        said = f"Claimed: {books}, and as of block {head:,} {state.total_claimed:,} are claimed; {swept}."
        return Standing("yes", said)
    if state.balance < due:
        said = f"Not claimed, and it cannot be now: {books}, and it holds {state.balance:,} (block {head:,})."
        return Standing("lapsed", said)
    said = f"Not claimed yet: {books}, and as of block {head:,} {state.total_claimed:,} are claimed. "
    delay = channel.config.withdraw_delay
    if state.withdraw_at:
        ends = wording.moment(1_000 * (state.withdraw_at + delay))
        return Standing("no", f"{said}Its payer asked for the money back: it is claimed by {ends}, or lost.")
    said += f"The node claims at its interval, and has {delay:,} s from when the payer asks for money back."
    return Standing("no", said)
