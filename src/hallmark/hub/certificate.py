"""Availability certificates: a quorum of storage nodes says that it has its slivers of a blob.

A node's confirmation is a BLS signature over Walrus's own message for a permanent blob:

    0x01 0x00 0x03    3     intent: blob certificate, version 0, application Walrus storage
    epoch             4     little-endian
    blob ID          32
    0x00              1     permanent

A certificate (JSON, `hallmark.certificate/1`) adds the signatures of nodes whose shards weigh more than two
thirds. It says what they said when they said it; that they still have it is what challenges ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import msgspec

from hallmark.core.blob_ids import blob_text, parse_blob_text
from hallmark.core.document import Hex32, HexBytes, hex0x, unhex
from hallmark.core.errors import InvalidInput, Unavailable, VerificationFailed
from hallmark.crypto import bls
from hallmark.hub.committee import Committee

FORMAT: Final = "hallmark.certificate/1"
INTENT: Final = b"\x01\x00\x03"
PERMANENT: Final = b"\0"
MOST_CERTIFICATE: Final = 16 << 10
OF_NO_USE: Final = "It says nothing of the blob. Put the blob again for one that does."


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See the module docstring: the blob ID (text), the committee by epoch and digest, the signers as its
    indices in ascending order, their signatures added up.
    """

    format: str
    blob_id: str
    epoch: int
    committee: Hex32
    signers: tuple[int, ...]
    signature: HexBytes

    def encode(self) -> bytes:
        """The bytes that are kept and travel."""
        return msgspec.json.encode(self)


class Certified(msgspec.Struct, frozen=True):
    """What a certificate that holds says: who confirmed, and how many of the shards they have."""

    blob_id: str
    epoch: int
    signers: tuple[str, ...]
    weight: int
    shards: int


def confirmation_message(epoch: int, identifier: bytes) -> bytes:
    """What a node signs when it has its slivers of a blob (32 bytes); 40 bytes."""
    return INTENT + epoch.to_bytes(4, "little") + identifier + PERMANENT


def verify_confirmation(committee: Committee, node: int, identifier: bytes, signature: bytes) -> bytes:
    """The signature, when it is this node's word for this blob. Raises VerificationFailed
    `confirmation_wrong`.
    """
    try:
        message = confirmation_message(committee.epoch, identifier)
        bls.verify(committee.nodes[node].key_bytes, message, signature)
    except VerificationFailed as error:
        raise VerificationFailed(
            "confirmation_wrong",
            "A storage node's confirmation is not signed with its key.",
            "It was not counted. Is the committee file the same on both sides?",
        ) from error
    return signature


def certify(committee: Committee, identifier: bytes, confirmations: Mapping[int, bytes]) -> Certificate:
    """The certificate of a blob, of verified confirmations by node. Raises Unavailable
    `storage_quorum_missing`.
    """
    weight = sum(committee.nodes[index].weight for index in confirmations)
    if weight < committee.quorum:
        raise quorum_missing(committee, weight)
    signers = tuple(sorted(confirmations))
    return Certificate(
        FORMAT,
        blob_text(identifier),
        committee.epoch,
        hex0x(committee.digest),
        signers,
        hex0x(bls.aggregate([confirmations[index] for index in signers])),
    )


def read_certificate(data: bytes) -> Certificate:
    """The certificate in these bytes, unverified. Raises InvalidInput `bad_certificate`."""
    try:
        if len(data) <= MOST_CERTIFICATE:
            found = msgspec.json.decode(data, type=Certificate)
            parse_blob_text(found.blob_id)
            if found.format == FORMAT:
                return found
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidInput):
        pass
    raise InvalidInput("bad_certificate", "This is no availability certificate.", "See docs/blobs.md.")


def verify_certificate(certificate: Certificate, committee: Committee, identifier: str) -> Certified:
    """What the certificate says of the blob (text), when it holds.

    1. It is of this blob, this committee and its epoch.
    2. Its signers are nodes of the committee, each once.
    3. Their shards weigh more than two thirds.
    4. All of them signed.

    Raises VerificationFailed `certificate_of_another`, `certificate_signers`, `certificate_too_light`,
    `certificate_forged`.
    """
    named = (certificate.blob_id, certificate.epoch, certificate.committee)
    if named != (identifier, committee.epoch, hex0x(committee.digest)):
        raise VerificationFailed(
            "certificate_of_another",
            "The certificate is of another blob, or of another committee.",
            "Name the committee under which the blob was put.",
        )
    signers = certificate.signers
    ascending = all(low < high for low, high in pairwise(signers))
    if not signers or not ascending or signers[0] < 0 or signers[-1] >= len(committee.nodes):
        raise VerificationFailed(
            "certificate_signers",
            "A certificate names a signer twice, or one that is not in the committee.",
            OF_NO_USE,
        )
    nodes = [committee.nodes[index] for index in signers]
    weight = sum(node.weight for node in nodes)
    if weight < committee.quorum:
        raise VerificationFailed(
            "certificate_too_light",
            f"The signers have {weight} of {committee.shards} shards; it takes {committee.quorum}.",
            OF_NO_USE,
        )
    message = confirmation_message(committee.epoch, parse_blob_text(identifier))
    try:
        bls.verify_aggregate([node.key_bytes for node in nodes], message, unhex(certificate.signature))
    except VerificationFailed as error:
        raise VerificationFailed(
            "certificate_forged", "The certificate's signature is not that of its signers.", OF_NO_USE
        ) from error
    return Certified(
        identifier, committee.epoch, tuple(node.name for node in nodes), weight, committee.shards
    )


def quorum_missing(committee: Committee, weight: int) -> Unavailable:
    """The error for a blob that too few nodes confirmed."""
    return Unavailable(
        "storage_quorum_missing",
        f"Storage nodes with {weight} of {committee.shards} shards confirmed; it takes {committee.quorum}.",
        "Nothing is promised. Start more storage nodes, then put the blob again.",
    )
