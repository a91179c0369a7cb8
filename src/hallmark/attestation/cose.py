"""Strict CBOR (RFC 8949) and COSE_Sign1 (RFC 9052) as Nitro uses them.

`cbor2` reads leniently: it takes trailing bytes, repeated map keys and a score of tags. None of that is
taken here.
"""

from __future__ import annotations

import io
from typing import Final, Never

import cbor2
import msgspec

from hallmark.core.errors import VerificationFailed

TAG_COSE_SIGN1 = 0xD2
ES384_HEADER: Final = bytes.fromhex("a1013822")
"""Protected header {1: -35}: ECDSA with SHA-384. The only one that is accepted, byte for byte."""
SIGNATURE_SIZE = 96
COORDINATE_SIZE = 48

# Every tag that cbor2 would otherwise turn into a Python object by itself.
_BUILT_IN_TAGS = (*range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


class Sign1(msgspec.Struct, frozen=True):
    """The parts of a COSE_Sign1 that matter: payload bytes as received, signature r || s (48 + 48 bytes)."""

    payload: bytes
    signature: bytes

    def signed_bytes(self) -> bytes:
        """Sig_structure of RFC 9052 section 4.4, over the payload exactly as received."""
        return cbor2.dumps(["Signature1", ES384_HEADER, b"", self.payload])


def strict_loads(data: bytes, *, depth: int, indefinite: bool) -> object:
    """Decode exactly one CBOR item.

    Raises VerificationFailed `bad_cbor` for malformed input, repeated keys, tags and nesting beyond
    `depth`, `trailing_bytes` when something follows the item.
    """
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(
            stream,
            tag_hook=_refuse_tag,
            semantic_decoders=dict.fromkeys(_BUILT_IN_TAGS, _refuse_tag),
            max_depth=depth,
            allow_indefinite=indefinite,
            allow_duplicate_keys=False,
        ).decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise VerificationFailed("bad_cbor", "This is not the CBOR that the format asks for.") from error
    if stream.tell() != len(data):
        raise VerificationFailed("trailing_bytes", f"{len(data) - stream.tell()} bytes follow the document.")
    return value


def split(data: bytes) -> list[object]:
    """The four members of a COSE_Sign1 array, tagged 18 or untagged, not looked into yet.

    Raises VerificationFailed `bad_cbor`, `trailing_bytes`, `not_cose_sign1`.
    """
    body = data[1:] if data[:1] == bytes((TAG_COSE_SIGN1,)) else data
    members = strict_loads(body, depth=2, indefinite=False)
    if type(members) is not list or len(members) != 4:
        raise VerificationFailed("not_cose_sign1", "A COSE_Sign1 is an array of four members.")
    return members


def check_header(members: list[object]) -> Sign1:
    """Headers and shapes of the four members.

    Raises VerificationFailed `cose_algorithm`, `cose_unprotected`, `cose_shape`.
    """
    protected, unprotected, payload, signature = members
    if type(protected) is not bytes or protected != ES384_HEADER:
        raise VerificationFailed("cose_algorithm", "The protected header must say ES384 and nothing else.")
    if type(unprotected) is not dict or unprotected:
        raise VerificationFailed("cose_unprotected", "The unprotected header must be empty.")
    if type(payload) is not bytes or not payload:
        raise VerificationFailed("cose_shape", "The payload must be a non-empty byte string.")
    if type(signature) is not bytes or len(signature) != SIGNATURE_SIZE:
        raise VerificationFailed("cose_shape", f"The signature must have {SIGNATURE_SIZE} bytes.")
    return Sign1(payload, signature)


def _refuse_tag(*_: object, **__: object) -> Never:
    raise ValueError("tags are not part of this format")
