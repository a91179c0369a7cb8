"""Settling: each authorization once, each by a transaction of its own, and what servers do with channels."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import msgspec
from msgspec.structs import replace

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x, unhex
from hallmark.core.hashing import keccak256
from hallmark.core.x402_payment import Authorization
from hallmark.crypto.secp256k1 import Key as Signer
from hallmark.payments.x402.actions import Action, Claims, Refund, Sweep, is_action, read_action
from hallmark.payments.x402.messages import SettleResponse
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.x402_settlement import (
    channel_state,
    claims_call,
    claims_digest,
    deposit_call,
    payment_call,
    receiver_totals,
    refund_call,
    sweep_call,
)
from hallmark.services.facilitator.access import Access
from hallmark.services.facilitator.asked import Asked
from hallmark.services.facilitator.reasons import (
    CHANNEL,
    FAILED,
    IDENTIFIER,
    PENDING,
    REQUIREMENTS,
    SETTLE,
    Refusal,
    used,
)
from hallmark.services.facilitator.sender import Sender, TooDear
from hallmark.services.facilitator.settings import Key, Settings
from hallmark.services.facilitator.store import Settlement, State, Store
from hallmark.services.facilitator.verifier import Verifier, settlement_id

CHANNEL_KINDS = ("claim", "settle", "refund", "deposit")


class Made(msgspec.Struct, frozen=True):
    """A settlement that is about to be asked for, and the payment that it is of, if it is one."""

    row: Settlement
    payment: Authorization | None = None


class Settler:
    """See the module docstring. `authorizer` signs claims and refunds for keys that may have that."""

    def __init__(
        self,
        rpc: RPC,
        settings: Settings,
        store: Store,
        sender: Sender,
        verifier: Verifier,
        *,
        access: Access,
        authorizer: Signer | None = None,
    ) -> None:
        self._rpc = rpc
        self._settings = settings
        self._store = store
        self._sender = sender
        self._verifier = verifier
        self._access = access
        self._authorizer = authorizer
        self._asking: Counter[bytes] = Counter()

    async def settle(self, asked: Asked, key: Key) -> SettleResponse:
        """Settle a payment, or do what a server asks for its channels; the same asked again gets the same.

        Raises Refusal; Unavailable when the chain does not answer and nothing was sent.
        """
        network = asked.requirements.network
        if asked.requirements.scheme == "batch-settlement" and is_action(asked.payment.payload):
            made = await self._action(read_action(asked.payment.payload), key)
        else:
            made = self._payment(asked)
        if made.row.contract == b"":
            return SettleResponse(True, network, "", payer=hex0x(made.row.payer), amount="0")
        claimed = await self._store.claim(
            made.row,
            scope_of(key, made.payment),
            asked.identifier,
            asked.fingerprint,
            again=made.payment is None,
        )
        if claimed.conflict:
            raise Refusal(IDENTIFIER, "This payment identifier was used for another payment.")
        repeats = made.payment is None or (key.idempotent and bool(asked.identifier))
        if not claimed.new and not repeats:
            self._require_first(claimed.row, made)
        return await self._outcome(made, network, new=claimed.new, repeats=repeats)

    async def _outcome(self, made: Made, network: str, *, new: bool, repeats: bool) -> SettleResponse:
        """Send what is new, wait, and tell: of a payment that settled one caller alone is told, because most
        servers serve whoever sends the header of a payment that settles.
        """
        name = made.row.id
        self._asking[name] += 1
        try:
            if new:
                await self._submit(made)
            row = await self._sender.wait(name, self._settings.wait_ms / 1000)
        finally:
            self._asking[name] -= 1
            if not self._asking[name]:
                del self._asking[name]
        if row is None:
            raise Refusal(FAILED, "The chain refused it a moment ago.")
        if row.state is State.SETTLED and not await self._store.tell(name) and not repeats:
            self._require_first(replace(row, told=1), made)
        return await self._response(row, network)

    def _require_first(self, row: Settlement | None, made: Made) -> None:
        """Raises Refusal when somebody was told that this settled, or still waits to be told."""
        if made.payment is None or row is None or row.state is State.FAILED:
            return
        if row.told or row.id in self._asking:
            raise used(made.payment, hex0x(row.hashes[-1]) if row.hashes else "")

    async def _submit(self, made: Made) -> None:
        """Send it; what the chain would refuse is forgotten, so that it may be asked for again."""
        sent = False
        try:
            if made.payment is not None:
                self._access.payer(made.payment.payer)
            await self._sender.submit(made.row)
            sent = True
        except TooDear as error:
            raise Refusal(SETTLE, "The chain asks for more gas than is paid here.") from error
        except Reverted as revert:
            raise await self._why(made, revert) from revert
        finally:
            if not sent:
                await self._sender.drop(made.row)

    async def _why(self, made: Made, revert: Reverted) -> Refusal:
        if made.payment is not None:
            return await self._verifier.diagnose(made.payment, made.row.amount, revert)
        return Refusal(f"{CHANNEL}{made.row.kind}_simulation_failed", "The chain would refuse it.")

    def _payment(self, asked: Asked) -> Made:
        payment, amount = self._verifier.judge(asked, settling=True)
        deposit = payment.channel.deposit if payment.channel is not None else None
        if payment.channel is not None and deposit is None:
            raise Refusal(f"{CHANNEL}payload_type", "A voucher is claimed; it does not settle by itself.")
        row = Settlement(
            id=settlement_id(payment),
            scheme=payment.scheme,
            kind="payment" if deposit is None else "deposit",
            payer=payment.payer,
            payee=unhex(asked.requirements.pay_to.lower()),
            token=payment.token,
            amount=amount if deposit is None else deposit.amount,
            created=_now(),
            expires=1000 * _expiry(payment),
            contract=b"",
            data=b"",
            most_gas=self._settings.most_gas,
            channel=payment.channel.id if payment.channel is not None else b"",
        )
        if deposit is not None and payment.channel is not None:
            call = deposit_call(payment.channel.config, deposit)
        elif amount == 0:
            return Made(row, payment)  # nothing is owed, so nothing is sent
        else:
            call = payment_call(payment, amount)
        return Made(replace(row, contract=call.contract, data=call.data), payment)

    async def _action(self, action: Action, key: Key) -> Made:
        if isinstance(action, Sweep):
            return await self._sweep(action)
        refund = action if isinstance(action, Refund) else None
        claims = action if isinstance(action, Claims) else action.claims
        if claims.claims and not claims.signature:
            claims = self._claims_signed(claims, key)
        if refund is None:
            call, first = claims_call(claims), claims.claims[0].config
            kind, amount = "claim", sum(one.total_claimed for one in claims.claims)
        else:
            signature = refund.signature or self._refund_signed(refund, key)
            refund = replace(refund, claims=claims, signature=signature)
            call, first = refund_call(refund), refund.config
            kind, amount = "refund", await self._refundable(refund)
        self._require_token(first.token)
        return Made(
            Settlement(
                id=keccak256(call.contract + call.data),
                scheme="batch-settlement",
                kind=kind,
                payer=first.payer,
                payee=first.receiver,
                token=first.token,
                amount=amount,
                created=_now(),
                expires=_now(),
                contract=call.contract,
                data=call.data,
                most_gas=self._settings.most_gas_claims,
                channel=digests.channel_id(first, self._settings.chain_id),
            )
        )

    async def _sweep(self, sweep: Sweep) -> Made:
        """What was claimed and not paid out is what names a sweep: the same again is the same one."""
        self._require_token(sweep.token)
        claimed, settled = await receiver_totals(self._rpc, sweep.receiver, sweep.token)
        amount = claimed - settled
        if amount <= 0:
            raise Refusal(f"{CHANNEL}nothing_to_settle", "Nothing was claimed that was not paid out.")
        call = sweep_call(sweep)
        totals = claimed.to_bytes(32, "big") + settled.to_bytes(32, "big")
        return Made(
            Settlement(
                id=keccak256(call.data + totals),
                scheme="batch-settlement",
                kind="settle",
                payer=sweep.receiver,
                payee=sweep.receiver,
                token=sweep.token,
                amount=amount,
                created=_now(),
                expires=_now(),
                contract=call.contract,
                data=call.data,
                most_gas=self._settings.most_gas,
            )
        )

    def _claims_signed(self, claims: Claims, key: Key) -> Claims:
        for one in claims.claims:
            self._require_ours(one.config, key)
        assert self._authorizer is not None
        return Claims(claims.claims, self._authorizer.sign(claims_digest(claims, self._settings.chain_id)))

    def _refund_signed(self, refund: Refund, key: Key) -> bytes:
        authorizer, chain_id = self._require_ours(refund.config, key), self._settings.chain_id
        name = digests.channel_id(refund.config, chain_id)
        return authorizer.sign(digests.refund_digest(name, refund.nonce, refund.amount, chain_id))

    def _require_ours(self, config: digests.Channel, key: Key) -> Signer:
        """The signer for a channel whose receiver's money this key may decide about. Raises Refusal."""
        if self._authorizer is None or hex0x(config.receiver) not in key.receivers:
            raise Refusal(f"{CHANNEL}authorizer_not_configured", "Send the authorizer's own signature.")
        if config.receiver_authorizer != self._authorizer.address:
            raise Refusal(f"{CHANNEL}authorizer_address_mismatch", "The channel has another authorizer.")
        return self._authorizer

    def _require_token(self, token: bytes) -> None:
        if hex0x(token) not in {one.address for one in self._settings.tokens}:
            raise Refusal(REQUIREMENTS, "Payments in this token are not settled here.")

    async def _refundable(self, refund: Refund) -> int:
        name = digests.channel_id(refund.config, self._settings.chain_id)
        state = await channel_state(self._rpc, name)
        claimed = [one.total_claimed for one in refund.claims.claims if one.config == refund.config]
        amount = min(refund.amount, state.balance - max([state.total_claimed, *claimed]))
        if amount <= 0:
            raise Refusal(f"{CHANNEL}refund_no_balance", "There is nothing to give back.")
        return amount

    async def _response(self, row: Settlement, network: str) -> SettleResponse:
        transaction = hex0x(row.hashes[-1]) if row.hashes else ""
        payer = hex0x(row.payer) if row.kind in ("payment", "deposit") else ""
        if row.state is State.SETTLED:
            extra: dict[str, object] = {}
            if row.kind in ("deposit", "refund"):
                extra = {"channelState": await self._channel(row.channel)}
            amount = "" if row.kind == "claim" else str(row.amount)
            return SettleResponse(True, network, transaction, payer, amount, extra=extra)
        if row.state is State.FAILED:
            code = FAILED if row.kind == "payment" else f"{CHANNEL}{row.kind}_transaction_failed"
            return SettleResponse(False, network, transaction, payer, error_reason=code)
        return SettleResponse(False, network, transaction, payer, error_reason=PENDING)

    async def _channel(self, name: bytes) -> dict[str, Any]:
        state = await channel_state(self._rpc, name)
        return {
            "channelId": hex0x(name),
            "balance": str(state.balance),
            "totalClaimed": str(state.total_claimed),
            "withdrawRequestedAt": state.withdraw_at,
            "refundNonce": str(state.refund_nonce),
        }


def scope_of(key: Key, payment: Authorization | None) -> str:
    """Within what a payment identifier is one: a server's key and a payer."""
    return f"{key.name}:{payment.payer.hex() if payment is not None else ''}"


def _expiry(payment: Authorization) -> int:
    """When what the payer signed can no longer be used, in unix seconds."""
    deposit = payment.channel.deposit if payment.channel is not None else None
    if deposit is None:
        return payment.expires
    return (
        deposit.transfer.valid_before
        if deposit.transfer
        else deposit.permit.deadline
        if deposit.permit
        else 0
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
