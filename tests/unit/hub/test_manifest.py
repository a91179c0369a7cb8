"""Manifests and the entries that publish them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.documents import Manifest, ModelCard
from hallmark.core.entries import decode
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.statements import Publication, Version
from hallmark.crypto.secp256k1 import Key, recover_statement
from hallmark.hub import Identity, Network, make_manifest, publish_label, publish_version, verify_content

OWNER = Key(b"\x01" * 32)
NETWORK = Network(network_id("test.example/log"), 31_337)
CARD = ModelCard("digits", hex0x(OWNER.address), "classify", "Handwritten digits.")
IDENTITY = Identity(sha256(b"blob"), sha256(b"data"), 4)


def test_manifest_names_one_content_three_ways() -> None:
    """The manifest has the blob ID, the SHA-256 and the length of one content, and its card's digest."""
    manifest = make_manifest(CARD, "1", IDENTITY)
    assert manifest.artifact == hex0x(IDENTITY.blob_id)
    assert (manifest.sha256, manifest.size) == (hex0x(IDENTITY.sha256), 4)
    assert (manifest.label, manifest.task, manifest.card) == ("digits", "classify", hex0x(CARD.digest()))
    assert manifest.derived_from == ""
    assert Manifest.decode(manifest.encode()) == manifest


def test_lineage_names_the_replaced_manifest() -> None:
    """A later version holds the digest of the one it replaces, of the same label and another version."""
    first = make_manifest(CARD, "1", IDENTITY)
    second = make_manifest(CARD, "2", IDENTITY, replaces=first)
    assert second.derived_from == hex0x(first.digest())
    for wrong in (second, replace(first, label="other")):
        with pytest.raises(InvalidInput) as error:
            make_manifest(CARD, "2", IDENTITY, replaces=wrong)
        assert error.value.reason == "manifest_lineage"


def test_entries_are_signed_by_the_owner() -> None:
    """Both entries decode, hold the exact documents and recover to the owner."""
    manifest = make_manifest(CARD, "1", IDENTITY)
    label = decode(publish_label(CARD, NETWORK, OWNER, 1000).encode())
    version = decode(publish_version(manifest, NETWORK, OWNER, 2000).encode())
    assert isinstance(label.statement, Publication)
    assert isinstance(version.statement, Version)
    assert (label.attachments, version.attachments) == ((CARD.encode(),), (manifest.encode(),))
    assert (version.statement.artifact, version.statement.sha256) == (IDENTITY.blob_id, IDENTITY.sha256)
    for entry in (label, version):
        assert recover_statement(entry.statement, NETWORK.chain_id, entry.signatures[0]) == OWNER.address


def test_only_the_owner_publishes() -> None:
    """Somebody else's key is refused before anything is signed."""
    with pytest.raises(InvalidInput) as error:
        publish_label(CARD, NETWORK, Key(b"\x02" * 32), 1000)
    assert error.value.reason == "not_the_owner"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": bytes(32)}, "artifact_sha256"),
        ({"size": 5}, "artifact_size"),
        ({"blob_id": bytes(32)}, "artifact_blob_id"),
    ],
)
def test_each_binding_is_checked(change: dict[str, Any], reason: str) -> None:
    """Content that differs in one name from its manifest is refused for that reason."""
    manifest = make_manifest(CARD, "1", IDENTITY)
    assert verify_content(manifest, IDENTITY) is IDENTITY
    with pytest.raises(VerificationFailed) as error:
        verify_content(manifest, replace(IDENTITY, **change))
    assert error.value.reason == reason
