"""Publication: the documents and signed entries that bind a label to an artifact.

A label is claimed once by a Publication (its ModelCard); each Version points it to a Manifest, which names
one content three ways: Walrus blob ID, SHA-256 and length. Full nodes that hold the content recompute all
three.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Manifest, ModelCard
from hallmark.core.entries import Entry
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.statements import Publication, Version
from hallmark.crypto.secp256k1 import Signer, sign_statement
from hallmark.hub.cache import Identity

ARTIFACT_FORMAT: Final = "hallmark.artifact/ustar/1"


class Network(msgspec.Struct, frozen=True):
    """Where a statement counts: 32-byte network id and EIP-712 chain id."""

    id: bytes
    chain_id: int


def make_manifest(
    card: ModelCard,
    version: str,
    identity: Identity,
    *,
    replaces: Manifest | None = None,
    format: str = ARTIFACT_FORMAT,
) -> Manifest:
    """The manifest of `version` of the card's label.

    `replaces` is the manifest that the label points to now. Raises InvalidInput `manifest_lineage` when
    it has another label or the same version.
    """
    if replaces is not None and (replaces.label != card.label or replaces.version == version):
        raise InvalidInput("manifest_lineage", "A version replaces another version of the same label.")
    return Manifest(
        label=card.label,
        version=version,
        artifact=hex0x(identity.blob_id),
        sha256=hex0x(identity.sha256),
        size=identity.size,
        format=format,
        task=card.task,
        card=hex0x(card.digest()),
        derived_from=hex0x(replaces.digest()) if replaces is not None else "",
    )


def verify_content(manifest: Manifest, identity: Identity) -> Identity:
    """The identity, if it is that of the manifest's content.

    Raises VerificationFailed `artifact_sha256`, `artifact_size` or `artifact_blob_id`. How much it says
    depends on where the identity comes from: see `BlobIdCache.identify`.
    """
    if unhex(manifest.sha256) != identity.sha256:
        raise VerificationFailed("artifact_sha256", "The content's SHA-256 is not the manifest's.")
    if manifest.size != identity.size:
        raise VerificationFailed("artifact_size", "The content's length is not the manifest's.")
    if unhex(manifest.artifact) != identity.blob_id:
        raise VerificationFailed("artifact_blob_id", "The content's blob ID is not the manifest's.")
    return identity


def publish_label(card: ModelCard, network: Network, owner: Signer, at: int) -> Entry:
    """The log entry by which `owner` claims the card's label; `at` in unix ms.

    Raises InvalidInput `not_the_owner` when the card names another owner.
    """
    _check_owner(card, owner)
    statement = Publication(network.id, owner.address, card.digest(), at)
    return Entry(statement, (sign_statement(statement, network.chain_id, owner),), (card.encode(),))


def publish_version(manifest: Manifest, network: Network, owner: Signer, at: int) -> Entry:
    """The log entry by which the label's owner points it to the manifest; `at` in unix ms."""
    statement = Version(
        network.id, owner.address, manifest.digest(), unhex(manifest.artifact), unhex(manifest.sha256), at
    )
    return Entry(statement, (sign_statement(statement, network.chain_id, owner),), (manifest.encode(),))


def _check_owner(card: ModelCard, owner: Signer) -> None:
    if unhex(card.owner) != owner.address:
        raise InvalidInput("not_the_owner", "The model card names another owner.")
