"""An issuer in memory. Its keys are made of seven primes, always the same: good for tests only."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import gmpy2
import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from hallmark.core.document import hex0x
from hallmark.core.hashing import sha256
from hallmark.core.money import Asset
from hallmark.core.tokens import VALUES, IssuerKeys, Token
from hallmark.crypto.blind_rsa import EXPONENT, Chance
from hallmark.crypto.blind_signing import BlindSigningKey
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.token_signing import SigningKeys
from hallmark.payments.tokens import finish, make_blank

PRIMES = 7
START, DAY = 1_790_000_000_000, 86_400_000
ASSET = Asset(31_337, hex0x(b"\x11" * 20), 6, "DEV", "Hallmark Development Money", "1", development=True)


def _prime(number: int) -> int:
    start = b"".join(sha256(b"token prime", bytes((number, part))) for part in range(4))
    return int(gmpy2.next_prime(int.from_bytes(start, "big") | 3 << 1022))


def signing_key(p: int, q: int) -> BlindSigningKey:
    """The key of two primes."""
    d = pow(EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(EXPONENT, p * q)
    private = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    # what its two primes are needs no looking into here, once for every key of every process
    return BlindSigningKey(private.private_key(unsafe_skip_rsa_key_validation=True))


def _keys() -> tuple[BlindSigningKey, ...]:
    primes = [_prime(number) for number in range(PRIMES)]
    pairs = itertools.islice(itertools.combinations(primes, 2), VALUES)
    return tuple(signing_key(p, q) for p, q in pairs)


SIGNING = _keys()


def issuer_keys(**changes: Any) -> IssuerKeys:
    """The key set of this issuer's first epoch."""
    keys = IssuerKeys(
        network=hex0x(bytes(32)),
        issuer=hex0x(b"\x15" * 20),
        asset=ASSET,
        unit=10,
        epoch=1,
        since=START - DAY,
        until=START + 30 * DAY,
        keys=tuple(hex0x(key.public.spki) for key in SIGNING),
    )
    return msgspec.structs.replace(keys, **changes)


def chance_of(name: str) -> Chance:
    """The same random bytes each time, for vectors."""
    calls = itertools.count()
    return lambda size: hashlib.shake_256(f"{name} {next(calls)}".encode()).digest(size)


def tokens_of(document: IssuerKeys, *values: int, chance: Chance | None = None) -> tuple[Token, ...]:
    """Tokens of these values, as a payer has bought them; always the same ones, unless `chance` says so."""
    random = chance or chance_of("a token")
    keys = KeySet(document)
    issuer = SigningKeys(keys, SIGNING)
    blanks = [make_blank(keys, value, random) for value in values]
    return tuple(
        finish(keys, blank, issuer.sign(blank.value, blank.blinded.message, random).signature)
        for blank in blanks
    )
