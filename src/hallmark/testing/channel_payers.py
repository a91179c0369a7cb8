"""A payer by x402's channels, as stock clients pay: each voucher is for what was charged before and the most
of this request; a server's word for what was charged counts as far as the payer signed, and never goes back.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping

import msgspec

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.receipt import request_digest
from hallmark.core.x402_payment import Authorization
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.x402.messages import SIGNATURE_HEADER, Requirements, decode_payment
from hallmark.payments.x402.rails import authorize
from hallmark.testing import x402_payers
from hallmark.testing.paid_host import Cut

OUT_OF_STEP = "channel_out_of_step"


class PayingChannel:
    """One channel of a payer, told from its others by `salt`; its first voucher brings a deposit. It pays for
    `body` of the model `label` alone, so that a voucher says what it is for.
    """

    def __init__(self, payer: Key, salt: bytes, deposit: int, *, label: str, body: bytes) -> None:
        self.payer, self.label, self.body, self.deposit = payer, label, body, deposit
        self._salt = salt
        self.id = b""
        self.known = 0
        """What the payer was told that the channel was charged in all."""
        self.turn = asyncio.Lock()
        """A channel pays one request at a time."""
        self._signed = 0
        self._open = False

    def sign(self, told: Mapping[str, str], now: int) -> tuple[dict[str, str], Authorization]:
        """The next voucher for what a 402 offers, at `now` (unix s): its header, and what it says."""
        accepted = x402_payers.chosen(told, "batch-settlement")
        deposit = 0 if self._open else self.deposit
        headers = x402_payers.voucher(
            self.payer, accepted, self.known, deposit=deposit, now=now, salt=self._salt
        )
        offers = [msgspec.convert(one, Requirements) for one in x402_payers.challenge_of(told)["accepts"]]
        payment = authorize(decode_payment(headers[SIGNATURE_HEADER].encode()), offers, now)
        assert payment.channel is not None
        self.id, self._signed = payment.channel.id, max(self._signed, payment.channel.max_claimable)
        return headers, payment

    def hear(self, got: Cut) -> bool:
        """What came of a voucher. True: it was out of step, and the next one is not."""
        if got.status == 402 and reason_of(got.body) == OUT_OF_STEP:
            ways = (way["extra"] for way in x402_payers.challenge_of(got.headers)["accepts"])
            (told,) = (extra["channelState"] for extra in ways if "channelState" in extra)
            self._told(told)
            return True
        stream = b'"stream":true' in self.body
        if got.status == 200 and got.whole and (not stream or b"[DONE]" in got.body):
            _, raw = (split_hallmark_stream if stream else split_hallmark)(got.body)
            response = base64.b64decode(msgspec.json.decode(raw)["payment_response"])
            said, before = msgspec.json.decode(response)["extra"], self.known
            self._told(said["channelState"])
            assert self.known == before + int(said["chargedAmount"]), (before, said)
        return False

    def _told(self, state: Mapping[str, str]) -> None:
        charged = int(state["chargedCumulativeAmount"])
        assert state["channelId"] == "0x" + self.id.hex(), state
        assert self.known <= charged <= self._signed, (self.known, state, self._signed)
        assert int(state["totalClaimed"]) <= charged, state
        self.known, self._open = charged, True


def reason_of(body: bytes) -> str:
    """The reason code of an error."""
    reason: str = msgspec.json.decode(body)["error"]["code"]
    return reason


def request_of(got: Cut, path: str, body: bytes) -> bytes | None:
    """The receipt's digest of a request, by the salt in its answer's head; None where no head came."""
    salts = got.headers.get("hallmark-salts", "").split()
    return request_digest(bytes.fromhex(salts[0]), path, body) if salts else None
