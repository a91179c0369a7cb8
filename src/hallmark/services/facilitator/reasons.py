"""x402's own reason codes for what is wrong with a payment: clients and servers know these, not ours."""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import HallmarkError
from hallmark.core.x402_payment import Authorization
from hallmark.payments.x402.checks import PaymentFault
from hallmark.payments.x402.messages import Requirements
from hallmark.services.chain.x402_settlement import PayerState

CHANNEL: Final = "invalid_batch_settlement_evm_"
PAYLOAD: Final = "invalid_payload"
REQUIREMENTS: Final = "invalid_payment_requirements"
NETWORK: Final = "invalid_network"
SCHEME: Final = "unsupported_scheme"
VERSION: Final = "invalid_x402_version"
VERIFY: Final = "unexpected_verify_error"
SETTLE: Final = "unexpected_settle_error"
PENDING: Final = "settlement_pending"
FAILED: Final = "transaction_failed"
LIMITED: Final = "rate_limited"
IDENTIFIER: Final = "payment_identifier_conflict"

FAULTS: Final[dict[str, dict[str, str]]] = {
    "eip3009": {
        "payee": "invalid_exact_evm_payload_recipient_mismatch",
        "amount": "invalid_exact_evm_payload_authorization_value_mismatch",
        "signature": "invalid_exact_evm_payload_signature",
        "not_yet": "invalid_exact_evm_payload_authorization_valid_after",
        "expired": "invalid_exact_evm_payload_authorization_valid_before",
    },
    "permit2": {
        "asset": "permit2_token_mismatch",
        "amount": "permit2_amount_mismatch",
        "spender": "invalid_permit2_spender",
        "payee": "invalid_permit2_recipient_mismatch",
        "facilitator": "upto_facilitator_mismatch",
        "signature": "invalid_permit2_signature",
        "not_yet": "permit2_not_yet_valid",
        "expired": "permit2_deadline_expired",
    },
    "channel": {
        "payee": f"{CHANNEL}receiver_mismatch",
        "authorizer": f"{CHANNEL}receiver_authorizer_mismatch",
        "asset": f"{CHANNEL}token_mismatch",
        "delay": f"{CHANNEL}withdraw_delay_mismatch",
        "channel": f"{CHANNEL}channel_id_mismatch",
        "amount": f"{CHANNEL}cumulative_amount_mismatch",
        "signature": f"{CHANNEL}voucher_signature",
        "deposit": f"{CHANNEL}receive_authorization_signature",
        "permit": f"{CHANNEL}permit2_invalid_signature",
        "payer": f"{CHANNEL}permit2_invalid_signature",
        "spender": f"{CHANNEL}permit2_invalid_spender",
        "not_yet": f"{CHANNEL}payload_authorization_valid_after",
        "expired": f"{CHANNEL}payload_authorization_valid_before",
    },
}
REVERTS: Final[dict[str, str]] = {
    "InvalidNonce": "permit2_invalid_nonce",
    "InvalidSignature": "invalid_permit2_signature",
    "InvalidSigner": "invalid_permit2_signature",
    "SignatureExpired": "permit2_deadline_expired",
    "InvalidAmount": "invalid_permit2_amount",
    "InvalidOwner": "permit2_invalid_owner",
    "InvalidDestination": "permit2_invalid_destination",
    "PaymentTooEarly": "permit2_not_yet_valid",
    "UnauthorizedFacilitator": "upto_unauthorized_facilitator",
    "AmountExceedsPermitted": "upto_amount_exceeds_permitted",
}


class Refusal(Exception):
    """A payment is not taken: x402's `code`, and one sentence; the transaction that took it before, if one
    did.
    """

    def __init__(self, code: str, message: str, transaction: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.transaction = transaction


def method_of(requirements: Requirements) -> str:
    """Which table of faults a requirement's payments have."""
    if requirements.scheme == "batch-settlement":
        return "channel"
    by_permit = requirements.extra.get("assetTransferMethod") == "permit2"
    return "permit2" if by_permit or requirements.scheme == "upto" else "eip3009"


def refusal(error: HallmarkError, requirements: Requirements) -> Refusal:
    """What is wrong with a payment's bytes, in x402's words."""
    code = PAYLOAD
    if isinstance(error, PaymentFault):
        code = FAULTS[method_of(requirements)].get(error.field, PAYLOAD)
    elif error.reason == "payment_not_offered":
        code = REQUIREMENTS
    elif error.reason == "x402_version":
        code = VERSION
    return Refusal(code, error.message)


def used(payment: Authorization, transaction: str = "") -> Refusal:
    """A payment that is being settled, or was."""
    code = f"{CHANNEL}deposit_simulation_failed"
    if payment.channel is None:
        by_transfer = payment.transfer is not None
        code = "invalid_exact_evm_nonce_already_used" if by_transfer else "permit2_invalid_nonce"
    return Refusal(
        code, "This payment was taken before; GET /receipts/{transaction} tells of it.", transaction
    )


def diagnosis(payment: Authorization, amount: int, state: PayerState, revert: str) -> Refusal:
    """Why the chain would refuse a payment whose bytes are in order, by what it says of the payer."""
    if payment.channel is not None:
        return _of_deposit(payment, amount, state)
    if state.used:
        return used(payment)
    if payment.transfer is not None:
        if state.balance < amount:
            return Refusal("invalid_exact_evm_insufficient_balance", "The payer has less than this.")
    else:
        if state.allowance < amount:
            return Refusal("permit2_allowance_required", "The payer has not approved Permit2 for this.")
        if state.balance < amount:
            return Refusal("permit2_insufficient_balance", "The payer has less than this.")
    code = REVERTS.get(revert, "invalid_exact_evm_transaction_simulation_failed")
    return Refusal(code, f"The chain would refuse it{f' ({revert})' if revert else ''}.")


def _of_deposit(payment: Authorization, amount: int, state: PayerState) -> Refusal:
    deposit = payment.channel.deposit if payment.channel else None
    if state.balance < amount:
        return Refusal(f"{CHANNEL}insufficient_balance", "The payer has less than this deposit.")
    if deposit is not None and deposit.permit is not None and state.allowance < amount:
        return Refusal(f"{CHANNEL}permit2_allowance_required", "The payer has not approved Permit2 for this.")
    return Refusal(f"{CHANNEL}deposit_simulation_failed", "The chain would refuse this deposit.")
