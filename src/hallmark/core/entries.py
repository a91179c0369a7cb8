"""Entries of the log: a statement, its signatures, and the documents that it commits to.

    u8   version = 1
    u8   kind                      (see Kind)
    ...  statement                 packed, fixed size by kind
    u8   number of signatures      then 65 bytes each: r || s || v, v = 27 or 28
    u8   number of attachments     then u32be length and bytes each

A leaf of the log is `u64be admitted || entry`: `admitted` is when the log took it, unix ms, never
decreasing. It is the time at which evidence and policies are judged, so that everybody who replays the log
judges alike. At most 65,527 bytes an entry (C2SP tlog-tiles bounds a leaf to 65,535).
"""

from __future__ import annotations

import enum
import struct
from typing import Final

import msgspec

from hallmark.core import statements as s
from hallmark.core.errors import InvalidInput, TooLarge
from hallmark.core.hashing import sha256
from hallmark.core.receipt import Receipt
from hallmark.core.typed import TypedStruct

ENTRY_VERSION = 1
MAX_ENTRY = 65_527
SIGNATURE_SIZE = 65
KIND_AT: Final = 9
"""Where the kind stands in a leaf: u64be admitted || u8 version || u8 kind || ..."""
LENGTH: Final = struct.Struct(">I")


class Kind(enum.IntEnum):
    """What an entry says. Numbers are for ever."""

    REGISTRATION = 1
    RETIREMENT = 2
    COMPROMISE = 3
    APPROVAL = 4
    REVOCATION = 5
    PUBLICATION = 6
    VERSION = 7
    RECEIPT = 8
    VERDICT = 9
    FAULT = 10
    REVIEW = 11
    POLICY = 12
    OFFER = 13
    ISSUER_EPOCH = 14
    OUTCOME = 15
    DERIVATION = 16


STATEMENTS: Final[dict[Kind, type[TypedStruct]]] = {
    Kind.REGISTRATION: s.Registration,
    Kind.RETIREMENT: s.Retirement,
    Kind.COMPROMISE: s.Compromise,
    Kind.APPROVAL: s.Approval,
    Kind.REVOCATION: s.Revocation,
    Kind.PUBLICATION: s.Publication,
    Kind.VERSION: s.Version,
    Kind.RECEIPT: Receipt,
    Kind.VERDICT: s.Verdict,
    Kind.FAULT: s.Fault,
    Kind.REVIEW: s.Review,
    Kind.POLICY: s.PolicyStatement,
    Kind.OFFER: s.PriceOffer,
    Kind.ISSUER_EPOCH: s.IssuerEpoch,
    Kind.OUTCOME: s.Outcome,
    Kind.DERIVATION: s.Derivation,
}
CLASSES: Final[dict[int, type[TypedStruct]]] = {kind.value: cls for kind, cls in STATEMENTS.items()}
KINDS: Final[dict[type[TypedStruct], Kind]] = {cls: kind for kind, cls in STATEMENTS.items()}


class Entry(msgspec.Struct, frozen=True):
    """A decoded entry. Nothing in it is verified yet.

    Attachments by kind: REGISTRATION document, evidence (`Evidence.encode()`, empty without an
    enclave); APPROVAL, PUBLICATION, VERSION, POLICY, OFFER, ISSUER_EPOCH, OUTCOME, DERIVATION the document;
    RECEIPT route record, candidates document, ticket (packed || signature), the last two empty when direct;
    VERDICT the list of what it objects to (`core.objected`); others none.
    """

    statement: TypedStruct
    signatures: tuple[bytes, ...]
    attachments: tuple[bytes, ...] = ()

    @property
    def kind(self) -> Kind:
        """The entry's kind."""
        return KINDS[type(self.statement)]

    def encode(self) -> bytes:
        """The entry's bytes. Raises TooLarge `entry_too_large`."""
        parts = [bytes((ENTRY_VERSION, self.kind)), self.statement.pack(), bytes((len(self.signatures),))]
        parts.extend(self.signatures)
        parts.append(bytes((len(self.attachments),)))
        for attachment in self.attachments:
            parts += (LENGTH.pack(len(attachment)), attachment)
        data = b"".join(parts)
        if len(data) > MAX_ENTRY:
            raise TooLarge(
                "entry_too_large", f"An entry has at most {MAX_ENTRY} bytes, this one {len(data)}."
            )
        return data


class LoggedEntry(msgspec.Struct, frozen=True):
    """An entry at its place in the log."""

    index: int
    admitted: int
    entry: Entry
    leaf_hash: bytes


def decode(data: bytes) -> Entry:
    """Read an entry's bytes, all of them. Raises InvalidInput `bad_entry`, TooLarge `entry_too_large`."""
    if len(data) > MAX_ENTRY:
        raise TooLarge("entry_too_large", f"An entry has at most {MAX_ENTRY} bytes, this one {len(data)}.")
    try:
        version, number = data[0], data[1]
        if version != ENTRY_VERSION:
            raise InvalidInput("bad_entry", f"Entry version {version} is not known.")
        cls = CLASSES[number]
        at = 2 + cls.packed_size()
        statement = cls.unpack(data[2:at])
        count, at = data[at], at + 1
        if len(data) < at + SIGNATURE_SIZE * count:
            raise IndexError
        end = at + SIGNATURE_SIZE * count
        signatures = tuple([data[i : i + SIGNATURE_SIZE] for i in range(at, end, SIGNATURE_SIZE)])
        count, at = data[end], end + 1
        attachments = []
        for _ in range(count):
            (length,) = LENGTH.unpack_from(data, at)
            at, end = at + 4, at + 4 + length
            if len(data) < end:
                raise IndexError
            attachments.append(data[at:end])
            at = end
        if at != len(data):
            raise IndexError
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise InvalidInput("bad_entry", "The bytes are not an entry.", "See docs/formats.md.") from error
    return Entry(statement, signatures, tuple(attachments))


def leaf(admitted: int, entry: bytes) -> bytes:
    """Leaf bytes of the log: u64be admission time (unix ms) || entry."""
    return admitted.to_bytes(8, "big") + entry


def split_leaf(data: bytes) -> tuple[int, bytes]:
    """Admission time and entry bytes of a leaf. Raises InvalidInput `bad_leaf`."""
    if len(data) < 10:
        raise InvalidInput("bad_leaf", "A leaf has at least 10 bytes.")
    return int.from_bytes(data[:8], "big"), data[8:]


def entry_id(entry: bytes) -> bytes:
    """SHA-256 of an entry's bytes without its admission time: the same entry is admitted once."""
    return sha256(entry)
