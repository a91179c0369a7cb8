"""The vault rail's header: good for one request of one payer at one payee, once."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.core.spending import Spend
from hallmark.core.vault import SpendingCeiling, Vault
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.spending import request_name, sign_spending, verify_spending

PAYER, SESSION, OTHER = Key(b"\1" * 32), Key(b"\2" * 32), Key(b"\3" * 32)
PAYEE, ENCLAVE = b"\4" * 20, b"\x0a" * 20
VAULT = Vault(31_337, b"\5" * 20)
NOW = 1_790_000_000_000
PATH, BODY, SALT = "/v1/completions", b'{"model":"pydoc"}', b"\x07" * 32
REQUEST = request_name(SALT, PATH, BODY)
CEILING = SpendingCeiling(PAYER.address, PAYEE, SESSION.address, 5_000_000, 1, NOW // 1000 + 3_600)
SPEND = Spend(PAYER.address, PAYEE, ENCLAVE, REQUEST, 700, b"\6" * 32, NOW + 60_000)


def header(
    ceiling: SpendingCeiling = CEILING,
    spend: Spend = SPEND,
    *,
    payer: Key = PAYER,
    session: Key = SESSION,
    vault: Vault = VAULT,
) -> bytes:
    """The value that a client sends."""
    signature = payer.sign(vault.digest(ceiling))
    return sign_spending(ceiling, signature, spend, SALT, session=session, vault=vault).encode()


def refused(value: bytes, *, path: str = PATH, body: bytes = BODY, now: int = NOW) -> str:
    """Why a header is not taken."""
    with pytest.raises((PaymentRequired, InvalidInput)) as caught:
        verify_spending(value, VAULT, PAYEE, ENCLAVE, path=path, body=body, now=now)
    assert caught.value.status in (400, 402)
    return caught.value.reason


def test_a_spend_is_taken_for_its_request() -> None:
    """Signed by the session key that the payer named, or by the payer where it named none."""
    found = verify_spending(header(), VAULT, PAYEE, ENCLAVE, path=PATH, body=BODY, now=NOW)
    assert (found.authorization.spend, found.authorization.ceiling) == (SPEND, CEILING)
    own = msgspec.structs.replace(CEILING, session=bytes(20))
    assert (
        verify_spending(
            header(own, session=PAYER), VAULT, PAYEE, ENCLAVE, path=PATH, body=BODY, now=NOW
        ).authorization.spend
        == SPEND
    )


def test_it_pays_for_nothing_else() -> None:
    """Another body, path, payee, payer, vault or chain; and not when it has expired."""
    change = msgspec.structs.replace
    for path, body in (("/v1/completions", b'{"model":"pydoc" }'), ("/v1/completion", b's{"model":"pydoc"}')):
        assert refused(header(), path=path, body=body) == "payment_mismatch"
    assert refused(header(spend=change(SPEND, payee=b"\7" * 20))) == "payment_mismatch"
    assert refused(header(spend=change(SPEND, enclave=b"\7" * 20))) == "payment_mismatch"
    assert refused(header(change(CEILING, payee=b"\7" * 20))) == "payment_mismatch"
    assert refused(header(spend=change(SPEND, payer=OTHER.address))) == "payment_mismatch"
    assert refused(header(vault=Vault(1, VAULT.address))) == "payment_signature"
    assert refused(header(vault=Vault(31_337, b"\6" * 20))) == "payment_signature"
    assert refused(header(), now=SPEND.expires) == "payment_expired"
    endless = header(spend=change(SPEND, expires=1 << 63))
    assert refused(endless, now=1000 * CEILING.valid_until) == "payment_expired"


def test_only_the_payer_and_its_session_sign() -> None:
    """A ceiling by somebody else, a spend by another key, by the payer beside a session key, by nobody."""
    assert refused(header(payer=OTHER)) == "payment_signature"
    assert refused(header(session=OTHER)) == "payment_signature"
    assert refused(header(session=PAYER)) == "payment_signature"
    data = base64.b64decode(header())
    assert refused(base64.b64encode(data[:-97] + bytes(65) + data[-32:])) == "payment_signature"


@given(st.binary(max_size=600))
def test_any_bytes_end_in_a_reason(data: bytes) -> None:
    """As they are or in base64, of any length."""
    for value in (data, base64.b64encode(data)):
        assert refused(value) in ("bad_payment_header", "payment_signature")


@given(st.integers(0, 393), st.integers(0, 7))
def test_no_bit_can_be_changed(at: int, bit: int) -> None:
    """Each of the header's bytes is signed or a signature."""
    data = bytearray(base64.b64decode(header()))
    data[at] ^= 1 << bit
    assert refused(base64.b64encode(bytes(data))) in ("payment_signature", "payment_mismatch")
