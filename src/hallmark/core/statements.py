"""The signed statements that entries of the log carry. Fixed-size EIP-712 structs; documents are committed
by digest.

Text codes (reasons, fault kinds) are ASCII, right-padded with zero bytes to 32.
`at` is when the signer made the statement, unix ms.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from hallmark.core.errors import InvalidInput
from hallmark.core.typed import Address, Bytes32, TypedStruct, Uint8, Uint64


class Role(enum.IntEnum):
    """What a registered key may do."""

    NODE = 1
    GATEWAY = 2
    FULL_NODE = 3
    REVIEWER = 4
    ISSUER = 5


class Judgement(enum.IntEnum):
    """What a reviewer says of an answer. `UNDECIDED` withdraws what the same reviewer said before."""

    FIT = 1
    UNFIT = 2
    UNDECIDED = 3


class Said(enum.IntEnum):
    """What somebody says of an answer. `WITHDRAWN` takes back what the same speaker said before."""

    RIGHT = 1
    WRONG = 2
    PARTLY = 3
    WITHDRAWN = 4


class Registration(TypedStruct, frozen=True):
    """A key joins. For a node, `document` is the digest of its KeyBundle and `evidence` SHA-256 of its
    evidence bytes.

    For a gateway, full node, reviewer or issuer, `document` is the digest of its Profile, `evidence` zero.
    `beacon_*` name a checkpoint that the evidence's nonce was made from. Signed by `key`, then `owner`;
    all but nodes also by the network's authority (threshold). Registering a known key again refreshes its
    evidence.
    """

    NAME: ClassVar[str] = "Registration"

    network: Bytes32
    role: Uint8
    key: Address
    owner: Address
    document: Bytes32
    evidence: Bytes32
    beacon_size: Uint64
    beacon_root: Bytes32
    at: Uint64


class Retirement(TypedStruct, frozen=True):
    """A key leaves in good standing; old receipts stay as they were. Signed by `key` or its owner."""

    NAME: ClassVar[str] = "Retirement"

    network: Bytes32
    key: Address
    reason: Bytes32
    at: Uint64


class Compromise(TypedStruct, frozen=True):
    """A key is not to be believed from log position `since` on. Signed by its owner or by the authority
    (threshold).
    """

    NAME: ClassVar[str] = "Compromise"

    network: Bytes32
    key: Address
    since: Uint64
    reason: Bytes32
    at: Uint64


class Approval(TypedStruct, frozen=True):
    """The authority accepts a measurement (`document` = digest of a Measurement). Threshold of
    authority keys.
    """

    NAME: ClassVar[str] = "Approval"

    network: Bytes32
    document: Bytes32
    at: Uint64


class Revocation(TypedStruct, frozen=True):
    """The authority no longer accepts a measurement from log position `since` on. Threshold of
    authority keys.
    """

    NAME: ClassVar[str] = "Revocation"

    network: Bytes32
    document: Bytes32
    since: Uint64
    reason: Bytes32
    at: Uint64


class Publication(TypedStruct, frozen=True):
    """A label is claimed (`document` = digest of a ModelCard). First come, first served. Signed by
    `owner`.
    """

    NAME: ClassVar[str] = "Publication"

    network: Bytes32
    owner: Address
    document: Bytes32
    at: Uint64


class Version(TypedStruct, frozen=True):
    """A label now points to an artifact (`document` = digest of a Manifest). Signed by the label's owner."""

    NAME: ClassVar[str] = "Version"

    network: Bytes32
    owner: Address
    document: Bytes32
    artifact: Bytes32
    sha256: Bytes32
    at: Uint64


class Ticket(TypedStruct, frozen=True):
    """A gateway's route ticket. `candidates` is the digest of a Candidates document. Signed by `gateway`."""

    NAME: ClassVar[str] = "Ticket"

    network: Bytes32
    gateway: Address
    candidates: Bytes32
    beacon_size: Uint64
    beacon_root: Bytes32
    issued: Uint64
    expires: Uint64
    nonce: Bytes32


class Verdict(TypedStruct, frozen=True):
    """A full node says that entries of the history with this `root` at `size` do not hold. `objected` is the
    digest of the list of positions and reasons (`core.objected`). Signed by `author`.
    """

    NAME: ClassVar[str] = "Verdict"

    network: Bytes32
    author: Address
    size: Uint64
    root: Bytes32
    objected: Bytes32
    at: Uint64


class Fault(TypedStruct, frozen=True):
    """`culprit` broke a rule and entries `first` and `second` prove it (equal when one entry is enough).

    Kinds: "equivocation" (two receipts for one position), "refuted_verdict" (`first` is a verdict entry of
    which re-checking refutes at least one objection; all that it refutes cease to count). Signed by `author`.
    """

    NAME: ClassVar[str] = "Fault"

    network: Bytes32
    author: Address
    culprit: Address
    kind: Bytes32
    first: Uint64
    second: Uint64
    at: Uint64


class Review(TypedStruct, frozen=True):
    """A person or a named evaluation judged the answer behind receipt `item`, which stands at log position
    `subject`.

    `judgement` is a `Judgement`, `reason` a code. `policy` is the digest of the ClearingPolicy that the item
    was under, `screen` of the Screen document that was before the reviewer's eyes, `comment` of the salted
    comments (zero: none). Signed by `reviewer`.
    """

    NAME: ClassVar[str] = "Review"

    network: Bytes32
    reviewer: Address
    item: Bytes32
    subject: Uint64
    judgement: Uint8
    reason: Bytes32
    policy: Bytes32
    screen: Bytes32
    comment: Bytes32
    at: Uint64


class PolicyStatement(TypedStruct, frozen=True):
    """The network's policy of a kind is now this document. Kinds: "attestation", "clearing:<name>".
    Authority threshold.
    """

    NAME: ClassVar[str] = "PolicyStatement"

    network: Bytes32
    kind: Bytes32
    document: Bytes32
    at: Uint64


class PriceOffer(TypedStruct, frozen=True):
    """A node's owner says what answers of its nodes cost (`document` = digest of an `Offer`, core.money).
    Signed by `owner`.
    """

    NAME: ClassVar[str] = "PriceOffer"

    network: Bytes32
    owner: Address
    document: Bytes32
    at: Uint64


class IssuerEpoch(TypedStruct, frozen=True):
    """An issuer's keys of one epoch (`document` = digest of an `IssuerKeys`, core.tokens), the only ones that
    it ever has for it. Signed by `issuer`.
    """

    NAME: ClassVar[str] = "IssuerEpoch"

    network: Bytes32
    issuer: Address
    epoch: Uint64
    document: Bytes32
    at: Uint64


class Outcome(TypedStruct, frozen=True):
    """A person or a named evaluation says how the answer behind receipt `item`, which stands at log position
    `subject`, turned out: `said` is a `Said`, `document` the digest of the `Basis` (core.outcomes) that it
    rests on. A speaker's newest word on a receipt is the one that counts. Signed by `speaker`.
    """

    NAME: ClassVar[str] = "Outcome"

    network: Bytes32
    speaker: Address
    item: Bytes32
    subject: Uint64
    said: Uint8
    document: Bytes32
    at: Uint64


class Derivation(TypedStruct, frozen=True):
    """The owner of the label of manifest `derived` says that its artifact was made from that of manifest
    `source` (both digests). `tool` is SHA-256 of the tool's bytes, zero where it is not named so; `document`
    the digest of the `Making` (core.derivations). Signed by `author`.
    """

    NAME: ClassVar[str] = "Derivation"

    network: Bytes32
    author: Address
    source: Bytes32
    derived: Bytes32
    tool: Bytes32
    document: Bytes32
    at: Uint64


class AnchoredCheckpoint(TypedStruct, frozen=True):
    """What full nodes sign for the chain: this log had this root at this size. `origin` is SHA-256 of
    the origin text.
    """

    NAME: ClassVar[str] = "AnchoredCheckpoint"

    network: Bytes32
    origin: Bytes32
    size: Uint64
    root: Bytes32


class SignIn(TypedStruct, frozen=True):
    """A person proves to hold `key` to one site. `nonce` is the site's challenge, `origin` SHA-256 of its URL
    (scheme, host, port). It opens a session there and says nothing else; it is no entry. Signed by `key`.
    """

    NAME: ClassVar[str] = "SignIn"

    network: Bytes32
    key: Address
    nonce: Bytes32
    origin: Bytes32
    at: Uint64


def code(text: str) -> bytes:
    """A text code as 32 bytes. Raises InvalidInput `bad_code` unless it is ASCII of 1 to 32 characters."""
    if not text.isascii() or not 1 <= len(text) <= 32:
        raise InvalidInput("bad_code", "A code is 1 to 32 ASCII characters.")
    return text.encode().ljust(32, b"\0")


def text_of(code32: bytes) -> str:
    """The text of a 32-byte code."""
    return code32.rstrip(b"\0").decode("ascii", "replace")
