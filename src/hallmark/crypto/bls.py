"""BLS signatures over BLS12-381 with public keys in G1 (48 bytes) and signatures in G2 (96 bytes), the basic
scheme of draft-irtf-cfrg-bls-signature (DST `BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_`), over blst.

Signatures over one message are added, and checked against the sum of the keys. That is only sound for keys
whose owners proved that they have the secret: `prove_possession` and `verify_possession` come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hallmark.core.errors import InvalidInput, VerificationFailed

KEY: Final = 48
SIGNATURE: Final = 96
SECRET: Final = 32
POSSESSION: Final = b"hallmark.bls-possession/1"
"""What a key signs, itself following, to show that its owner has the secret."""


def new_secret(seed: bytes) -> bytes:
    """A secret key of at least 32 random bytes; 32 bytes."""
    made: bytes = bytes(_scheme().key_gen(seed))
    return made


def public_key(secret: bytes) -> bytes:
    """The public key of a secret; 48 bytes. Raises InvalidInput `bad_bls_key`."""
    return bytes(_secret(secret).get_g1())


def sign(secret: bytes, message: bytes) -> bytes:
    """A signature; 96 bytes. Raises InvalidInput `bad_bls_key`."""
    return bytes(_scheme().sign(_secret(secret), message))


def prove_possession(secret: bytes) -> bytes:
    """A proof that whoever shows the public key has the secret; 96 bytes."""
    return sign(secret, POSSESSION + public_key(secret))


def verify_possession(key: bytes, proof: bytes) -> None:
    """Raises VerificationFailed `bls_key_not_possessed`."""
    try:
        verify(key, POSSESSION + key, proof)
    except VerificationFailed:
        raise VerificationFailed(
            "bls_key_not_possessed",
            "A BLS key comes without a proof that its owner has the secret.",
            "hallmark storage-node key prints both.",
        ) from None


def verify(key: bytes, message: bytes, signature: bytes) -> None:
    """Raises VerificationFailed `bad_bls_signature`."""
    verify_aggregate([key], message, signature)


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """One signature for all of them; 96 bytes. Raises VerificationFailed `bad_bls_signature`."""
    from blspy import G2Element

    return bytes(_scheme().aggregate([_point(G2Element, one, SIGNATURE) for one in signatures]))


def verify_aggregate(keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
    """Check signatures over one message that were added. The possession of each key was verified before.

    Raises VerificationFailed `bad_bls_signature`.
    """
    from blspy import G1Element, G2Element

    if not keys:
        raise _bad()
    total, *others = (_point(G1Element, key, KEY) for key in keys)
    for point in others:
        total = total + point
    if not _scheme().verify(total, message, _point(G2Element, signature, SIGNATURE)):
        raise _bad()


def _scheme() -> Any:
    from blspy import BasicSchemeMPL

    return BasicSchemeMPL


def _secret(secret: bytes) -> Any:
    from blspy import PrivateKey

    try:
        if len(secret) == SECRET and any(secret):
            return PrivateKey.from_bytes(secret)
    except (ValueError, RuntimeError):
        pass
    raise InvalidInput(
        "bad_bls_key",
        "A BLS secret key has 32 bytes and is below the group's order.",
        "hallmark storage-node key makes one.",
    )


def _point(kind: Any, data: bytes, size: int) -> Any:
    """A point in its group, and not its zero. Raises VerificationFailed `bad_bls_signature`."""
    try:
        if len(data) == size and not data[0] & 0x40:
            return kind.from_bytes(data)
    except (ValueError, RuntimeError):
        pass
    raise _bad()


def _bad() -> VerificationFailed:
    return VerificationFailed(
        "bad_bls_signature", "A BLS signature or key does not hold.", "Do not use what it is to vouch for."
    )
