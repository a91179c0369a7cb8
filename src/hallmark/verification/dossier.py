"""The dossier: everything about one receipt in one JSON file, as its owner keeps it (`r.json`).

What is in it is not believed, it is verified: by `offline.verify_dossier`, with a trust file and nothing
else.
Reading is strict, so that no two files mean the same: unknown and repeated members, upper-case hexadecimal
digits, base64 with stray bits and salts without their content are refused. The published schema is
docs/schema/dossier.schema.json.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Final

import msgspec

from hallmark.core.document import Hex20, Hex32, HexBytes, Uint63, unhex
from hallmark.core.entries import Entry, decode, leaf
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.members import check_members
from hallmark.core.receipt import Receipt

FORMAT: Final = "hallmark.dossier/1"
MAX_DOSSIER: Final = 64 << 20
Base64 = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]*={0,2}$(?!\n)")]
Signature = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{130}$(?!\n)")]
_ESCAPE = re.compile(rb"\\+u[0-9a-fA-F]{4}")


class Salts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The salts of the request's and the response's digests; absent with the content that they belong to."""

    request: Hex32 | None = None
    response: Hex32 | None = None


class RequestCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The owner's copy of the request: path, and the body's exact text."""

    path: str
    body: str


class ResponseCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The owner's copy of every byte that came before the receipt, as text."""

    body: str


class Documents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The exact text of every document that the receipt or its bundle commits to."""

    bundle: str
    route: str
    parameters: str | None = None
    configuration: str | None = None
    candidates: str | None = None
    manifest: str | None = None
    upstream: str | None = None
    inputs: tuple[str, ...] = ()
    payment: str | None = None
    offer: str | None = None
    issuer_keys: str | None = None


class LoggedPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log entry with its place: index, admission time (unix ms), entry bytes, and the proof of all
    three.
    """

    index: Uint63
    admitted: Uint63
    data: Base64 = msgspec.field(name="bytes")
    proof: str | None = None
    after: tuple[Base64, ...] | None = None

    def entry(self) -> Entry:
        """The entry. Raises InvalidInput `bad_entry`."""
        return decode(unbase64(self.data))

    def leaf(self) -> bytes:
        """The leaf that the proof is about."""
        return leaf(self.admitted, unbase64(self.data))


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The anchoring service's word on where a checkpoint that covers the receipt is on the chain; see
    `AnchorRecord`.

    `path` leads from the receipt's entry to that checkpoint's root (RFC 6962), so that the root which
    the chain holds can be compared whatever checkpoint the proof is against.
    """

    chain_id: Uint63
    contract: Hex20
    transaction: Hex32
    block: Uint63
    size: Uint63
    root: Hex32
    confirmations: Uint63
    path: tuple[Hex32, ...] = ()


class Dossier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One saved receipt. See the module docstring; `receipt` is its EIP-712 JSON form,
    `payment_authorization` what the payer signed.
    """

    format: str
    network: Hex32
    chain_id: Uint63
    receipt: dict[str, str | int]
    signature: Signature
    id: Hex32
    documents: Documents
    salts: Salts = Salts()
    request: RequestCopy | None = None
    response: ResponseCopy | None = None
    ticket: HexBytes | None = None
    evidence: Base64 | None = None
    entry: LoggedPart | None = None
    registration: LoggedPart | None = None
    version: LoggedPart | None = None
    reviews: tuple[LoggedPart, ...] = ()
    anchor: Anchor | None = None
    insecure: tuple[str, ...] = ()
    payment_authorization: Base64 | None = None

    def opened(self) -> Receipt:
        """The receipt. Raises InvalidInput `statement_fields`, `not_canonical`."""
        receipt = Receipt.from_json(self.receipt)
        if receipt.to_json() != self.receipt:
            raise InvalidInput("not_canonical", "The receipt's hexadecimal digits are not in lower case.")
        return receipt

    def encode(self) -> bytes:
        """The file's bytes, indented for people."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Dossier:
        """Read a file's bytes.

        Raises InvalidInput `bad_dossier` when this cannot be a dossier; whether what it says holds
        is not looked at.
        """
        if len(data) > MAX_DOSSIER:
            raise InvalidInput("bad_dossier", f"A dossier has at most {MAX_DOSSIER} bytes.")
        try:
            dossier = msgspec.json.decode(data, type=cls)
            dossier.opened()
            _strict(dossier, data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error) as error:
            raise InvalidInput("bad_dossier", "This is not a saved receipt.", str(error)) from error
        except HallmarkError as error:
            raise InvalidInput("bad_dossier", "This is not a saved receipt.", error.message) from error
        return dossier


def unbase64(text: str) -> bytes:
    """Canonical base64 (RFC 4648 section 3.5). Raises InvalidInput `not_canonical`."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidInput("not_canonical", "A value is not base64.") from error
    if base64.b64encode(data).decode() != text:
        raise InvalidInput("not_canonical", "A base64 value has stray bits.")
    return data


def unhex_signature(text: str) -> bytes:
    """The 65 bytes of a signature."""
    return unhex(text)


def _strict(dossier: Dossier, data: bytes) -> None:
    if dossier.format != FORMAT:
        raise InvalidInput("not_canonical", f"The format is not {FORMAT}.")
    check_members(data)
    if _loose_escape(data):
        raise InvalidInput("not_canonical", "A JSON escape has upper-case hexadecimal digits.")
    if (dossier.salts.request is None) != (dossier.request is None):
        raise InvalidInput("not_canonical", "The request and its salt go together: keep both or neither.")
    if (dossier.salts.response is None) != (dossier.response is None):
        raise InvalidInput("not_canonical", "The response and its salt go together: keep both or neither.")
    parts = (dossier.entry, dossier.registration, dossier.version, *dossier.reviews)
    after = tuple(text for part in parts if part for text in part.after or ())
    own = (dossier.evidence, dossier.payment_authorization)
    for text in (*own, *(part.data for part in parts if part), *after):
        if text is not None:
            unbase64(text)


def _loose_escape(data: bytes) -> bool:
    """Whether a JSON escape (an odd number of backslashes, then u) has upper-case hexadecimal digits."""
    if b"\\u" not in data:
        return False
    escapes = (match.group() for match in _ESCAPE.finditer(data))
    return any(text.count(b"\\") % 2 == 1 and text[-4:] != text[-4:].lower() for text in escapes)
