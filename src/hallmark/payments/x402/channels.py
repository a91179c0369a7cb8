"""batch-settlement's channels as a view of the accounts: each channel is one account, drawn like any other.

What x402 adds is kept here. A voucher is for exactly what was charged before and the most of this request,
so a channel serves one request at a time; a client that wants more at once opens more channels, by their
salts. A client that is wrong about what was charged before (its last answer was streamed, and a stream's
cost is known at its end only, or its disk was lost) gets a corrective 402 with the channel's state and its
own last signature, and asks again.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.errors import Conflict
from hallmark.core.x402_payment import Authorization, name_of
from hallmark.payments.accounts import Accounts, Event, PaymentRequired
from hallmark.payments.x402.actions import Claim

MISMATCH = "invalid_batch_settlement_evm_cumulative_amount_mismatch"
"""x402's own code, by which stock clients know that they are told a state to go on from."""


class OnChain(msgspec.Struct, frozen=True):
    """A channel as the chain has it. `withdraw_at` is when its payer may take what is left (unix s), 0:
    never.
    """

    balance: int
    total_claimed: int
    withdraw_at: int = 0
    refund_nonce: int = 0


class State(msgspec.Struct, frozen=True):
    """A channel as we have it: its account's number, and the newest voucher with its signature."""

    number: int
    config: digests.Channel
    chain: OnChain
    signed: int = 0
    signature: bytes = b""


class _Kept(msgspec.Struct, frozen=True):
    """A channel's newest voucher, as the accounts keep it."""

    id: bytes
    state: State


class Corrective(PaymentRequired):
    """The voucher is for another sum than the next one. `told` goes into `extra` of what is offered."""

    def __init__(self, reason: str, message: str, hint: str, told: dict[str, object]) -> None:
        super().__init__(reason, message, hint)
        self.told = told
        self.error = MISMATCH


class Channels:
    """See the module docstring. `accounts` is shared with every other rail."""

    def __init__(self, accounts: Accounts) -> None:
        """Channels as the accounts' newest vouchers say, until the chain is asked."""
        self._accounts = accounts
        self._channels: dict[bytes, State] = {}
        for voucher in accounts.vouchers.values():
            kept = msgspec.json.decode(voucher, type=_Kept)
            self._channels[kept.id] = kept.state

    def state(self, channel: bytes) -> State | None:
        """What is known of a channel."""
        return self._channels.get(channel)

    def charged(self, channel: bytes) -> int:
        """All that was ever charged to a channel."""
        state = self._channels.get(channel)
        return self._accounts.account(state.number).spent if state else 0

    def observe(self, number: int, channel: bytes, config: digests.Channel, chain: OnChain) -> Event | None:
        """The chain says this of a channel; one that is new becomes account `number`, and the event is
        returned.
        """
        known = self._channels.get(channel)
        if known is not None:
            self._channels[channel] = msgspec.structs.replace(known, chain=chain)
            return None
        event = self._accounts.grant(number, config.payer, 0, chain.total_claimed)
        self._channels[channel] = State(number, config, chain, chain.total_claimed)
        return event

    def begin(self, payment: Authorization, request: bytes, now: int) -> list[Event]:
        """Begin a request under a voucher at `now` (unix s): what to write down, in order.

        1. The channel is known, and its payer is not about to take its money back.
        2. No other request runs on it.
        3. The voucher is for what was charged and this request's most.
        4. The channel holds that much.

        Raises PaymentRequired `channel_unknown`, `channel_closing`, `insufficient_balance`; Corrective
        `channel_out_of_step`; Conflict `channel_busy`, `request_repeated`.
        """
        assert payment.channel is not None
        voucher, state = payment.channel, self._channels.get(payment.channel.id)
        if state is None:
            raise PaymentRequired("channel_unknown", "This channel has no deposit.", "Deposit into it first.")
        if state.chain.withdraw_at:
            raise PaymentRequired(
                "channel_closing", "The payer is taking this channel's money back.", "Use another channel."
            )
        account = self._accounts.account(state.number)
        if account.reserved:
            raise Conflict(
                "channel_busy",
                "Another request is being paid by this channel.",
                "Open one more, by its salt.",
            )
        if voucher.max_claimable != account.spent + payment.amount:
            raise Corrective(
                "channel_out_of_step",
                "The voucher is not for what was charged before and this request.",
                "Go on from the state that this answer tells.",
                self.told(voucher.id),
            )
        if voucher.max_claimable > state.chain.balance:
            raise PaymentRequired(
                "insufficient_balance", "The channel holds less than this voucher.", "Deposit more into it."
            )
        events: list[Event] = [self._accounts.grant(state.number, account.payer, voucher.max_claimable)]
        # The sum on a voucher is what keeps it from being used twice. When nothing was charged for it, its
        # client signs the same bytes again, and means another request.
        used = name_of(payment, request)
        events.append(
            self._accounts.reserve(state.number, request, used, most=payment.amount, expires=1000 * now)
        )
        state = msgspec.structs.replace(state, signed=voucher.max_claimable, signature=payment.signature)
        self._channels[voucher.id] = state
        kept = msgspec.json.encode(_Kept(voucher.id, state))
        events.append(self._accounts.vouch(state.number, kept))
        return events

    def told(self, channel: bytes) -> dict[str, object]:
        """`channelState` and `voucherState` as x402 names them, for a 402 or a PAYMENT-RESPONSE."""
        state = self._channels[channel]
        told: dict[str, object] = {
            "channelState": {
                "channelId": "0x" + channel.hex(),
                "balance": str(state.chain.balance),
                "totalClaimed": str(state.chain.total_claimed),
                "withdrawRequestedAt": state.chain.withdraw_at,
                "refundNonce": str(state.chain.refund_nonce),
                "chargedCumulativeAmount": str(self.charged(channel)),
            }
        }
        if state.signature:
            told["voucherState"] = {
                "signedMaxClaimable": str(state.signed),
                "signature": "0x" + state.signature.hex(),
            }
        return told

    def claims(self, most: int, *, without: Collection[bytes] = ()) -> tuple[Claim, ...]:
        """What can be claimed now, of `most` channels that are none of those `without`."""
        due = [one for one in self.claimable().items() if one[0] not in without][:most]
        found = ((self._channels[name], amount) for name, amount in due)
        return tuple(Claim(one.config, one.signed, one.signature, amount) for one, amount in found)

    def claimed(self, channel: bytes, amount: int) -> None:
        """The chain has claims of so much in all: more than before, or less where it went back behind some,
        which are claimed again then.
        """
        state = self._channels.get(channel)
        if state is not None:
            chain = msgspec.structs.replace(state.chain, total_claimed=amount)
            self._channels[channel] = msgspec.structs.replace(state, chain=chain)

    def claimable(self) -> dict[bytes, int]:
        """Channels of which more was charged than the chain has claimed, with all that was charged."""
        charged = {name: self.charged(name) for name in self._channels}
        return {
            name: amount
            for name, amount in charged.items()
            if amount > self._channels[name].chain.total_claimed
        }
