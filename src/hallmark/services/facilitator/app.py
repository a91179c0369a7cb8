"""HTTP of the facilitator: GET /supported, POST /verify, POST /settle, GET /receipts/{id}.

A payment that is not taken is no HTTP error: 200 with `isValid` or `success` false and x402's reason code.
Who may not ask at all gets 401 or 429.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, NotFound
from hallmark.core.x402_payment import Authorization
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond_json
from hallmark.http.errors import not_allowed
from hallmark.payments.x402.messages import SettleResponse, network_of
from hallmark.payments.x402.rails import RAILS
from hallmark.services.facilitator.access import Access
from hallmark.services.facilitator.asked import EXTENSION, Asked, network_in, read
from hallmark.services.facilitator.reasons import IDENTIFIER, PAYLOAD, SETTLE, VERIFY, Refusal, used
from hallmark.services.facilitator.settings import Key, Settings
from hallmark.services.facilitator.settler import Settler, scope_of
from hallmark.services.facilitator.store import Settlement, State, Store, require_id
from hallmark.services.facilitator.verifier import Valid, Verifier, settlement_id
from hallmark.telemetry.logs import get_logger

MAX_BODY: Final = 512 * 1024


class Facilitator:
    """The app. `permit2` says whether the chain has the contracts that most schemes need."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        verifier: Verifier,
        settler: Settler,
        *,
        access: Access,
        signer: bytes,
        authorizer: bytes = b"",
    ) -> None:
        self._settings = settings
        self._store = store
        self._verifier = verifier
        self._settler = settler
        self._access = access
        self._signer = signer
        self._authorizer = authorizer
        self.contracts = False
        self.verified = 0
        self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method, path = scope["method"], scope["path"]
        if path in ("/verify", "/settle"):
            if method != "POST":
                raise not_allowed("POST")
            key = self._access.caller(scope)
            body = await read_body(receive, MAX_BODY)
            answer = self._verify(body, key) if path == "/verify" else self._settle(body, key)
            await respond_json(send, await answer)
        elif path == "/supported" or path.startswith("/receipts/"):
            if method not in ("GET", "HEAD"):
                raise not_allowed("GET")
            if path == "/supported":
                await respond_json(send, self.supported())
            else:
                await respond_json(send, await self._receipt(path.removeprefix("/receipts/")))
        else:
            raise NotFound("no_such_page", "There is no such page here.", "See docs/facilitator.md.")

    def supported(self) -> dict[str, Any]:
        """What is settled here. Schemes whose contracts the chain lacks are left out."""
        signer = hex0x(self._signer)
        extras: dict[str, dict[str, str]] = {"exact": {}}
        if self.contracts:
            extras["upto"] = {"facilitatorAddress": signer}
            extras["batch-settlement"] = (
                {"receiverAuthorizer": hex0x(self._authorizer)} if self._authorizer else {}
            )
        network = network_of(self._settings.chain_id)
        kinds = [
            {"x402Version": 2, "scheme": scheme, "network": network}
            | ({"extra": extras[scheme]} if extras[scheme] else {})
            for scheme in RAILS
            if scheme in extras
        ]
        return {"kinds": kinds, "extensions": [EXTENSION], "signers": {"eip155:*": [signer]}}

    async def _verify(self, body: bytes, key: Key) -> dict[str, Any]:
        payer: dict[str, str] = {}
        try:
            asked = read(body, self._settings.chain_id)
            payment, _ = self._verifier.judge(asked, settling=False)
            payer = {"payer": hex0x(payment.payer)}
            self._access.payer(payment.payer)
            await self._require_unused(asked, payment, key)
            valid = await self._verifier.verify(payment)
        except Refusal as refused:
            return self._invalid(refused, payer)
        except HallmarkError as error:
            get_logger().warning("verify_problem", reason=error.reason)
            return self._invalid(Refusal(VERIFY, error.message), payer)
        self.verified += 1
        return {"isValid": True, **payer, **_channel_extra(valid)}

    async def _require_unused(self, asked: Asked, payment: Authorization, key: Key) -> None:
        """What is being settled, or was, does not verify again. Raises Refusal."""
        scope, identifier = scope_of(key, payment), asked.identifier
        if identifier and await self._store.conflicts(scope, identifier, asked.fingerprint):
            raise Refusal(IDENTIFIER, "This payment identifier was used for another payment.")
        row = await self._store.find(settlement_id(payment))
        if row is not None:
            raise used(payment, hex0x(row.hashes[-1]) if row.hashes else "")

    def _invalid(self, refused: Refusal, payer: dict[str, str]) -> dict[str, Any]:
        self.refused += 1
        return {
            "isValid": False,
            "invalidReason": refused.code,
            "invalidMessage": refused.message,
            **payer,
        }

    async def _settle(self, body: bytes, key: Key) -> Any:
        try:
            return await self._settler.settle(read(body, self._settings.chain_id), key)
        except Refusal as refused:
            return self._unsettled(body, refused)
        except HallmarkError as error:
            if error.reason == "bad_payment_header":
                return self._unsettled(body, Refusal(PAYLOAD, error.message))
            get_logger().warning("settle_problem", reason=error.reason)
            return self._unsettled(body, Refusal(SETTLE, error.message))

    def _unsettled(self, body: bytes, refused: Refusal) -> dict[str, Any]:
        self.refused += 1
        network = network_in(body) or network_of(self._settings.chain_id)
        said = SettleResponse(False, network, refused.transaction, error_reason=refused.code)
        return {**msgspec.to_builtins(said), "errorMessage": refused.message}

    async def _receipt(self, text: str) -> dict[str, Any]:
        name = require_id(text)
        row = await self._store.find(name) if name else None
        if row is None or row.state is State.QUEUED:
            raise NotFound(
                "settlement_not_found",
                "No settlement has this name.",
                "Ask by the transaction's hash, or by the settlement's id.",
            )
        return receipt_of(row, self._settings.chain_id)


def receipt_of(row: Settlement, chain_id: int) -> dict[str, Any]:
    """What is told of a settlement. The chain is the proof of it; this says where to look."""
    return {
        "id": hex0x(row.id),
        "state": row.state.value,
        "scheme": row.scheme,
        "kind": row.kind,
        "network": network_of(chain_id),
        "asset": hex0x(row.token),
        "payer": hex0x(row.payer),
        "payTo": hex0x(row.payee),
        "amount": str(row.amount),
        "transaction": hex0x(row.hashes[-1]) if row.hashes else "",
        "block": row.block,
        "since": row.since,
        **({"channelId": hex0x(row.channel)} if row.channel else {}),
        **({"reason": row.reason} if row.reason else {}),
    }


def _channel_extra(valid: Valid) -> dict[str, Any]:
    channel, state = valid.payment.channel, valid.channel
    if channel is None or state is None:
        return {}
    return {
        "extra": {
            "channelId": hex0x(channel.id),
            "balance": str(state.balance),
            "totalClaimed": str(state.total_claimed),
            "withdrawRequestedAt": state.withdraw_at,
            "refundNonce": str(state.refund_nonce),
        }
    }
