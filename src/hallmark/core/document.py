"""Canonical documents: variable content that a signed statement commits to by digest.

A document is UTF-8 JSON: fields in declared order, map keys sorted, no white space, byte strings as 0x-hex
text, integers only (a float raises). It travels as its exact bytes, so nobody has to re-encode anything to
check a digest:

    digest = SHA-256(TAG || 0x00 || bytes)

Offers and bundles come with every receipt that they apply to, routes and payments are read by several checks:
what a process read lately of such a type (`remembered`) it does not read again. The same bytes of the same
type always give the same document, and nobody can change one.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Annotated, ClassVar, Final, Self, TypeVar

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256

# In Python `$` lets a newline pass behind the text; `$(?!\n)` does not, and says the same in the ECMA regexes
# of JSON schemas.
Hex20 = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{40}$(?!\n)")]
Hex32 = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}$(?!\n)")]
Hex48 = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{96}$(?!\n)")]
HexBytes = Annotated[str, msgspec.Meta(pattern=r"^0x([0-9a-f]{2})*$(?!\n)")]
# A position, a time or a number of things, as far as C2SP and SQL both count.
Uint63 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


REMEMBERED: Final = 256
"""Documents of a process, of at most `REMEMBERED_BYTES` each."""
REMEMBERED_BYTES: Final = 4096


def hex0x(data: bytes) -> str:
    """Bytes as lower-case 0x-hex text."""
    return "0x" + data.hex()


def unhex(text: str) -> bytes:
    """0x-hex text as bytes. Raises InvalidInput `bad_hex`."""
    try:
        if text[:2] != "0x":
            raise ValueError
        return bytes.fromhex(text[2:])
    except ValueError as error:
        raise InvalidInput("bad_hex", "A value is not 0x-prefixed hexadecimal text.") from error


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of canonical documents; see the module docstring."""

    TAG: ClassVar[str] = ""
    remembered: ClassVar[bool] = False
    """Said of types that are public and hold nothing that can be changed (a list, a dict)."""

    def encode(self) -> bytes:
        """The exact bytes. Raises InvalidInput `float_in_document` when a float is inside."""
        data = msgspec.json.encode(self, order="deterministic")
        _refuse_floats(self, data)
        return data

    def digest(self) -> bytes:
        """SHA-256 over the tag, a zero byte and the exact bytes; 32 bytes."""
        return digest_of(type(self), self.encode())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read exact bytes. Raises InvalidInput `bad_document` unless they are well-formed and canonical."""
        if cls.remembered and len(data) <= REMEMBERED_BYTES:
            document: Self = _remembered(cls, bytes(data))
            return document
        return _decoded(cls, data)


D = TypeVar("D", bound=Document)


def _decoded(cls: type[D], data: bytes) -> D:
    try:
        document = msgspec.json.decode(data, type=cls)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_document", f"This is not a {cls.__name__} document.") from error
    if document.encode() != data:
        raise InvalidInput("bad_document", f"This {cls.__name__} document is not in canonical form.")
    return document


@functools.lru_cache(REMEMBERED)
def _remembered(cls: type[D], data: bytes) -> D:
    """What is no document is read each time: a refusal is not remembered."""
    return _decoded(cls, data)


def digest_of(cls: type[Document], data: bytes) -> bytes:
    """Digest of a document's exact bytes; 32 bytes."""
    return sha256(cls.TAG.encode(), b"\0", data)


def report_data(cls: type[Document], data: bytes) -> bytes:
    """SHA-512 over the tag, a zero byte and the exact bytes: the 64 bytes that hardware evidence binds."""
    return hashlib.sha512(cls.TAG.encode() + b"\0" + data).digest()


class _Float(Exception):
    """There is one."""


def _found(_: str) -> None:
    raise _Float


_NO_FLOATS = msgspec.json.Decoder(float_hook=_found)


def _refuse_floats(document: Document, data: bytes) -> None:
    """Reading the bytes again finds every float, in a tenth of the time that a walk through the values takes;
    but for those that JSON has no number for, which are written as null.
    """
    try:
        _NO_FLOATS.decode(data)
    except (_Float, msgspec.ValidationError) as error:
        raise InvalidInput(
            "float_in_document", "A signed document holds no floating-point numbers."
        ) from error
    if b"null" in data:
        _walk(msgspec.to_builtins(document))


def _walk(value: object) -> None:
    if isinstance(value, float):
        raise InvalidInput("float_in_document", "A signed document holds no floating-point numbers.")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for child in children:
        if type(child) is not str:
            _walk(child)
