#!/usr/bin/env bash
# x402 2.25.0 (PyPI): a facilitator's check of a Permit2 payment imports `jsonschema`, which only the extra `extensions`
# installs. With `x402[fastapi,httpx,evm]`, which a facilitator seems to need, every such payment ends in an exception: HTTP 500
# where the protocol wants `isValid`. `exact` by EIP-3009 works, so it shows with the first Permit2 payer. The chain is a stub.
#
# Seen:
#   verify raises: Extensions validation requires jsonschema. Install with: pip install x402[extensions]
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'x402[evm]==2.25.0' 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import sys
import time

from eth_account import Account
from x402.mechanisms.evm.exact.facilitator import ExactEvmScheme
from x402.mechanisms.evm.exact.client import ExactEvmScheme as Client
from x402.schemas import PaymentPayload, PaymentRequirements


class Chain:
    """A facilitator's signer whose chain has every contract, and answers each question with a lot."""

    def get_addresses(self):
        return ["0x" + "11" * 20]

    def get_code(self, address):
        return b"" if address.lower() == payer.address.lower() else b"\x01"

    def read_contract(self, *_):
        return 10**18

    def verify_typed_data(self, *_):
        return True


payer = Account.create()
required = PaymentRequirements(
    scheme="exact",
    network="eip155:8453",
    asset="0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    amount="1000",
    pay_to="0x" + "22" * 20,
    max_timeout_seconds=300,
    extra={"assetTransferMethod": "permit2", "name": "USD Coin", "version": "2"},
)
signed = Client(payer).create_payment_payload(required)
payment = PaymentPayload(payload=signed, accepted=required)
try:
    found = ExactEvmScheme(Chain()).verify(payment, required)
    print("verify says:", found.is_valid, found.invalid_reason)
    sys.exit(1)
except ImportError as error:
    print("verify raises:", error)
PY
