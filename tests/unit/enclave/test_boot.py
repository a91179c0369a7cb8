"""What the enclave checks before it has keys, and the keys that it makes."""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule
from hallmark.attestation.nsm import Client
from hallmark.core.document import hex0x
from hallmark.core.documents import EnclaveConfiguration, Manifest
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.services.enclave import boot, identity
from hallmark.services.enclave.shell import MixedRandom

NOW = 1_790_000_000_000
ZERO = hex0x(bytes(32))
CONTENT = b"weights"
MANIFEST = Manifest(
    label="m",
    version="1",
    artifact=ZERO,
    sha256=hex0x(sha256(CONTENT)),
    size=7,
    format="",
    task="",
    card=ZERO,
)


def configuration(manifest: Manifest = MANIFEST, label: str = "m") -> EnclaveConfiguration:
    """A configuration with one model."""
    return EnclaveConfiguration(
        network=ZERO, chain_id=1, owner=hex0x(bytes(20)), endpoint="", payment=hex0x(bytes(20)), mode=1,
        capacity=1, models={label: hex0x(manifest.digest())}, upstreams={}, limits={},
    )  # fmt: skip


def test_a_model_is_loaded_when_everything_fits() -> None:
    """Label, digest, size and SHA-256 equal: the model is there."""
    models = boot.load_models(configuration(), (MANIFEST.encode(),), {"m": memoryview(CONTENT)})
    assert models["m"].manifest == MANIFEST
    assert models["m"].manifest_digest == MANIFEST.digest()


@pytest.mark.parametrize(
    ("label", "manifests", "artifacts", "reason"),
    [
        ("m", (), {"m": CONTENT}, "manifest_missing"),
        ("m", (MANIFEST.encode(),), {}, "artifact_missing"),
        ("m", (MANIFEST.encode(),), {"m": b"Weights"}, "artifact_mismatch"),
        ("m", (MANIFEST.encode(),), {"m": b"weights and more"}, "artifact_mismatch"),
        ("n", (MANIFEST.encode(),), {"n": CONTENT}, "artifact_mismatch"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    label: str, manifests: tuple[bytes, ...], artifacts: dict[str, bytes], reason: str
) -> None:
    """Whatever differs is named by its reason."""
    views = {name: memoryview(data) for name, data in artifacts.items()}
    with pytest.raises(VerificationFailed) as refused:
        boot.load_models(configuration(label=label), manifests, views)
    assert refused.value.reason == reason


def test_the_image_must_be_what_pcr0_says() -> None:
    """The image digest is believed only when PCR0 extends from it."""
    digest = hashlib.sha384(b"image").digest()
    pcr0 = hashlib.sha384(bytes(48) + digest).digest()
    module = SecurityModule(DevelopmentRoot.create(NOW), {0: pcr0})
    client = Client(module.transport(lambda: NOW))
    boot.check_image(client, digest)
    for other in (bytes(48), b"", digest[:-1], pcr0):
        with pytest.raises(VerificationFailed) as refused:
            boot.check_image(client, other)
        assert refused.value.reason == "image_mismatch"


def test_the_certificate_matches_the_key_and_names_no_one(tmp_path: Path) -> None:
    """A self-signed P-256 certificate whose SPKI digest is the identity's; no key stays on disk."""
    made = identity.make_tls(os.urandom, NOW)
    certificate = x509.load_der_x509_certificate(made.certificate)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert sha256(spki) == made.spki
    certificate.verify_directly_issued_by(certificate)
    context = identity.server_context(made, str(tmp_path))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert list(tmp_path.iterdir()) == []


def test_keys_come_from_the_randomness_that_is_given() -> None:
    """The same randomness gives the same keys, another one others: nothing else enters."""
    assert identity.make_key(bytes).address == identity.make_key(bytes).address
    assert identity.make_key(bytes).address != identity.make_key(os.urandom).address
    assert identity.make_tls(bytes, NOW).spki == identity.make_tls(bytes, NOW).spki


def test_mixed_random_never_repeats() -> None:
    """Equal seeds do not make equal bytes, and sizes are honoured."""
    first, second = MixedRandom(b"seed"), MixedRandom(b"seed")
    drawn = {first(32), first(32), second(32), second(32)}
    assert len(drawn) == 4
    assert [len(first(n)) for n in (0, 1, 1000)] == [0, 1, 1000]
