"""Blind RSA: the examples of RFC 9474 and RFC 9578, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.tokens import token_input
from hallmark.crypto.blind_rsa import BlindPublicKey, blind, blinded_with, finalize, prepare_randomized
from hallmark.crypto.blind_signing import BlindSigningKey
from hallmark.testing.tokens import SIGNING, signing_key

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "blind_rsa.json").read_text())


def number(text: str) -> int:
    """A number from its hexadecimal digits."""
    return int(text, 16)


@pytest.mark.parametrize("variant", ["randomized", "deterministic"])
def test_rfc_9474_appendix_a(variant: str) -> None:
    """A.1 and A.3: the blinded message and the signature, byte for byte."""
    shared = VECTORS["rfc9474"]
    vector = shared[variant]
    key = signing_key(number(shared["p"]), number(shared["q"]))
    prefix, message = bytes.fromhex(vector["prefix"]), bytes.fromhex(shared["msg"])
    prepared = prepare_randomized(message, lambda _: prefix) if prefix else message
    factor = pow(number(shared["inv"]), -1, key.public.modulus)
    blinded = blinded_with(key.public, prepared, bytes.fromhex(shared["salt"]), factor)
    assert blinded.message.hex() == vector["blinded_msg"]
    assert blinded.inverse.hex() == shared["inv"]
    signed = key.blind_sign(blinded.message, os.urandom)
    assert finalize(key.public, prepared, signed, blinded.inverse).hex() == vector["sig"]


def test_rfc_9578_issuance_of_type_2() -> None:
    """Appendix B.2, the first example, from the client's side: request, response, token."""
    vector = {name: bytes.fromhex(text) for name, text in VECTORS["rfc9578"].items()}
    key = BlindPublicKey(int.from_bytes(vector["modulus"], "big"))
    assert BlindPublicKey.from_spki(key.spki).modulus == key.modulus
    message = token_input(vector["nonce"], sha256(vector["token_challenge"]), key.key_id)
    factor = int.from_bytes(vector["blind"], "big")
    blinded = blinded_with(key, message, vector["salt"], factor)
    assert b"\0\2" + key.key_id[-1:] + blinded.message == vector["token_request"]
    made = finalize(key, message, vector["token_response"], blinded.inverse)
    assert message + made == vector["token"]


def test_what_was_not_signed_is_refused() -> None:
    """Another key's signature, another message's, another length: `token_invalid`."""
    key, other = SIGNING[0], SIGNING[1]
    blinded = blind(key.public, b"message", os.urandom)
    good = key.blind_sign(blinded.message, os.urandom)
    finalize(key.public, b"message", good, blinded.inverse)
    wrong = [
        (b"another", good),
        (b"message", good[:-1]),
        (b"message", bytes(256)),
        (b"message", other.blind_sign(b"\0" + blinded.message[1:], os.urandom)),
    ]
    for message, signed in wrong:
        with pytest.raises(VerificationFailed, match="token_invalid"):
            finalize(key.public, message, signed, blinded.inverse)


def test_two_blindings_of_a_message_have_nothing_in_common() -> None:
    """So that what is signed cannot be found again in what is spent."""
    key = SIGNING[0].public
    assert blind(key, b"message", os.urandom).message != blind(key, b"message", os.urandom).message


def test_keys_are_read_as_they_are_written_and_in_no_other_way() -> None:
    """A public key has one form; a private key comes back from its bytes."""
    key = SIGNING[0]
    spki = key.public.spki
    assert len(spki) == 342
    assert BlindSigningKey.from_der(key.der()).public.spki == spki
    for wrong in (spki[:-1], spki + b"\0", b"\0" + spki[1:], spki[:81] + bytes(256) + spki[-5:], b""):
        with pytest.raises(InvalidInput, match="bad_token_key"):
            BlindPublicKey.from_spki(wrong)
    with pytest.raises(InvalidInput, match="bad_token_key"):
        BlindSigningKey.from_der(b"no key")
