"""What tokens cost: bought, spent, verified, changed; processor time of each party, in one process.

    python bench/tokens.py [--rounds 40] [--json FILE]

A question brings six tokens (512, 128, 32, 16, 8 and 8 units) and a change message for each of the ten values
up to their sum; 113 units are charged, so 591 come back, as six tokens. The issuer's desk is the
product's, over SQLite in memory. Beside it in the same run what no code around it can go below: OpenSSL's own
RSA-PSS of 2,048 bits, signed and verified. Processor time by round, least and median of the rounds; bytes are
counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hallmark.core.hashing import sha256
from hallmark.crypto.hpke import HPKEPrivateKey
from hallmark.crypto.secp256k1 import Key
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.issuing import Blinded, HoldRequest, SealingKey, SettleRequest
from hallmark.payments.token_signing import SigningKeys
from hallmark.payments.tokens import (
    Signed,
    TokenPayment,
    change_due,
    finish,
    make_blank,
    pay_with,
    take_change,
)
from hallmark.services.issuer.desk import Desk
from hallmark.services.issuer.store import Store
from hallmark.store.raw import RawDatabase
from hallmark.testing.token_desk import ISSUER, OneSet
from hallmark.testing.tokens import SIGNING, issuer_keys, tokens_of

HELD = (9, 7, 5, 4, 3, 3)
RESERVED, CHARGED = sum(1 << value for value in HELD), 113
NOW = 1_790_000_000_000
PAYEE, ENCLAVE = Key(sha256(b"payee of a bench")), Key(sha256(b"enclave of a bench"))


class Bench:
    """One issuer, and what a question brings; every call is one more question."""

    def __init__(self) -> None:
        self.document = issuer_keys(unit=1, since=NOW - 1, until=NOW + 10**9)
        self.keys, self.signing = KeySet(self.document), SigningKeys(KeySet(self.document), SIGNING)
        sealing = HPKEPrivateKey(sha256(b"sealing of a bench"))
        self.sealing = SealingKey.made(sealing.public, bytes(32), ISSUER)
        self.desk = Desk(OneSet(self.document), Store(RawDatabase("sqlite://")), ISSUER, sealing)  # type: ignore[arg-type]
        self._run = asyncio.new_event_loop().run_until_complete
        self.spent: dict[str, float] = {}
        self.bytes: dict[str, int] = {}

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` gives; its processor time is kept under `name`."""
        began = time.process_time()
        result = work()
        self.spent[name] = (time.process_time() - began) * 1000
        return result

    def question(self) -> None:
        """A token bought; tokens spent, verified, and changed."""
        keys, value = self.keys, HELD[0]
        blank = self.timed("buy one: payer blinds", lambda: make_blank(keys, value, os.urandom))
        message = blank.blinded.message
        signed = self.timed("buy one: issuer signs", lambda: self.signing.sign(value, message, os.urandom))
        token = self.timed(
            "buy one: payer unblinds and checks", lambda: finish(keys, blank, signed.signature)
        )
        self.timed("verify one (issuer, full nodes, readers)", lambda: keys.verify(token))
        held = tokens_of(self.document, *HELD, chance=os.urandom)
        payment, blanks = self.timed(
            "spend: payer, tokens and ten blanks", lambda: pay_with(keys, held, os.urandom)
        )
        header = payment.encode().encode()
        self.timed("spend: enclave reads and verifies", lambda: self._read(header))
        request = sha256(os.urandom(32))
        asked = self.timed("spend: enclave seals the hold", lambda: self._hold(payment, request))
        self.timed("spend: issuer holds", lambda: self._run(self.desk.hold(asked, NOW)))
        due = set(change_due(RESERVED, CHARGED, 1))
        wanted = tuple(Blinded(one.value, one.message) for one in payment.change if one.value in due)
        settle = SettleRequest("0x" + request.hex(), str(CHARGED), wanted).signed(ENCLAVE)
        settled = self.timed(
            "change: issuer settles and signs",
            lambda: self._run(self.desk.settle(settle, NOW)),
        )
        back = [Signed(one.value, one.message) for one in settled.change]
        made = self.timed(
            "change: payer unblinds, checks",
            lambda: take_change(keys, blanks, back, reserved=RESERVED, charged=CHARGED),
        )
        assert len(made) == len(due)
        self.bytes = {
            "header": len(header),
            "in the log": len(payment.spend.encode()),
            "change": 257 * len(settled.change),
            "tokens spent": len(held),
            "tokens back": len(made),
        }

    def _read(self, header: bytes) -> int:
        return self.keys.verify_spend(TokenPayment.decode(header).spend)

    def _hold(self, payment: TokenPayment, request: bytes) -> HoldRequest:
        whom = {"payee": PAYEE.address, "key": ENCLAVE.address, "to": self.sealing.public}
        return HoldRequest.made(payment.spend.encode(), self.keys.digest, request, **whom)

    def reference(self, key: rsa.RSAPrivateKey) -> None:
        """OpenSSL's own signature and its verification."""
        scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
        signature = self.timed("OpenSSL signs", lambda: key.sign(b"message", scheme, hashes.SHA384()))
        public = key.public_key()
        self.timed("OpenSSL verifies", lambda: public.verify(signature, b"message", scheme, hashes.SHA384()))


def main() -> None:
    """Measure, print, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    bench, key, seen = Bench(), rsa.generate_private_key(65_537, 2048), dict[str, list[float]]()
    load = os.getloadavg()[0]
    for round_ in range(asked.rounds + 1):
        bench.question()
        bench.reference(key)
        for name, spent in bench.spent.items():
            if round_:
                seen.setdefault(name, []).append(spent)
    rows = {
        n: {"least_ms": round(min(v), 3), "median_ms": round(statistics.median(v), 3)}
        for n, v in seen.items()
    }
    print(f"{'':<44}{'least':>8}{'median':>8}   ms")
    for name, row in rows.items():
        print(f"{name:<44}{row['least_ms']:>8}{row['median_ms']:>8}")
    print(f"bytes: {bench.bytes}; load average {load:.1f}, {os.getloadavg()[0]:.1f}")
    if asked.json:
        asked.json.write_bytes(msgspec.json.encode({"timed": rows, "bytes": bench.bytes}))


if __name__ == "__main__":
    main()
