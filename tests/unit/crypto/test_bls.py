"""BLS signatures: the ciphersuite, aggregates, and what is refused."""

from __future__ import annotations

import pytest

from hallmark.core.errors import HallmarkError
from hallmark.crypto import bls

SECRETS = [bls.new_secret(bytes([number]) * 32) for number in range(1, 5)]
KEYS = [bls.public_key(secret) for secret in SECRETS]
MESSAGE = b"all of these are stored"


def reason(function: object, *arguments: object) -> str:
    """The reason why a call is refused."""
    assert callable(function)
    with pytest.raises(HallmarkError) as error:
        function(*arguments)
    return error.value.reason


def test_signatures_add_up() -> None:
    """One signature of all is checked against all keys, in any order; without one it does not hold."""
    signed = [bls.sign(secret, MESSAGE) for secret in SECRETS]
    for key, one in zip(KEYS, signed, strict=True):
        bls.verify(key, MESSAGE, one)
    whole = bls.aggregate(signed)
    bls.verify_aggregate(KEYS, MESSAGE, whole)
    bls.verify_aggregate(KEYS[::-1], MESSAGE, whole)
    assert (len(KEYS[0]), len(whole)) == (48, 96)
    for keys, message in (
        (KEYS[:3], MESSAGE),
        ([], MESSAGE),
        (KEYS, MESSAGE + b"."),
        ([*KEYS, KEYS[0]], MESSAGE),
    ):
        assert reason(bls.verify_aggregate, keys, message, whole) == "bad_bls_signature"


@pytest.mark.parametrize(
    "data", [b"", bytes(48), bytes(96), b"\xff" * 96, b"\xc0" + bytes(95), b"\xc0" + bytes(47)]
)
def test_what_is_no_point_is_refused(data: bytes) -> None:
    """As a key and as a signature, the group's zero among it."""
    good = bls.sign(SECRETS[0], MESSAGE)
    assert reason(bls.verify, KEYS[0], MESSAGE, data) == "bad_bls_signature"
    assert reason(bls.verify, data, MESSAGE, good) == "bad_bls_signature"
    assert reason(bls.aggregate, [good, data]) == "bad_bls_signature"


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), b"\xff" * 32])
def test_what_is_no_secret_is_refused(secret: bytes) -> None:
    """Zero, over the order, another length."""
    assert reason(bls.public_key, secret) == "bad_bls_key"


def test_possession_is_proved_for_one_key() -> None:
    """The proof of one key is none for another."""
    proof = bls.prove_possession(SECRETS[0])
    bls.verify_possession(KEYS[0], proof)
    assert reason(bls.verify_possession, KEYS[1], proof) == "bls_key_not_possessed"
    assert reason(bls.verify_possession, KEYS[0], bls.sign(SECRETS[0], KEYS[0])) == "bls_key_not_possessed"
