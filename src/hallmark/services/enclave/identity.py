"""The keys that an enclave makes for itself, and the documents that bind them.

A secp256k1 key signs receipts, a P-256 key ends TLS, an X25519 key opens what operators seal to this enclave
(HPKE), and a schedule of keys opens sealed requests, each for its window. All come from the kernel's
randomness mixed with the security module's, live in this process alone and die with it. Two outlive it,
because what was charged must be settled after a crash: the settlement key and the key of the journal of
accounts, derived from what the platform seals to this image. The KeyBundle names all; evidence binds the
bundle; the Registration puts it into the log.
"""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration, HPKEKey, KeyBundle, Sealing
from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.sealing import GRACE_MS
from hallmark.core.statements import Registration, Role
from hallmark.crypto.hpke import AEAD_CHACHA20, KDF_SHA256, KEM_X25519, HPKEPrivateKey
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.privacy.key_configurations import Ratchet
from hallmark.services.enclave.limits import SEALING_EVERY_MS, SEALING_GRACE_MS, SEALING_WINDOWS
from hallmark.services.enclave.runtime import Beacon, Model
from hallmark.services.sealing.keys import ScheduledKeys

SIGNING_TAG: Final = b"hallmark/enclave-signing-key/v1\0"
HPKE_TAG: Final = b"hallmark/enclave-hpke-key/v1\0"
SETTLEMENT_TAG: Final = b"hallmark/enclave-settlement-key/v1\0"
JOURNAL_TAG: Final = b"hallmark/enclave-journal-key/v1\0"
SEALING_TAG: Final = b"hallmark/enclave-sealing-seed/v1\0"
TLS_TAG: Final = b"hallmark/enclave-tls-key/v1\0"
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
COMMON_NAME: Final = "hallmark enclave"
MOST_OPEN: Final = 64
"""Windows whose keys may be in force at once: key ids are bytes, two a window."""
LIFETIME: Final = datetime.timedelta(days=366)
BACKDATE: Final = datetime.timedelta(days=1)

Random = Callable[[int], bytes]


class TLSIdentity(msgspec.Struct, frozen=True):
    """A self-signed certificate (DER), its key (PEM) and SHA-256 of its SubjectPublicKeyInfo."""

    certificate: bytes
    key_pem: bytes
    spki: bytes


class Identity(msgspec.Struct, frozen=True):
    """What this enclave is: its signing key, its TLS identity, the exact bytes of its KeyBundle, the key that
    opens what is sealed to it.
    """

    key: Key
    tls: TLSIdentity
    bundle: bytes
    hpke: HPKEPrivateKey

    @property
    def bundle_digest(self) -> bytes:
        """What receipts and registrations commit to; 32 bytes."""
        return digest_of(KeyBundle, self.bundle)


def make_key(random: Random) -> Key:
    """A fresh signing key from 64 bytes of `random`."""
    return Key(sha256(SIGNING_TAG, random(64)))


def make_hpke(random: Random) -> HPKEPrivateKey:
    """A fresh HPKE key from 64 bytes of `random`."""
    return HPKEPrivateKey(sha256(HPKE_TAG, random(64)))


def make_sealing(random: Random, limits: Mapping[str, int], now: Callable[[], int]) -> ScheduledKeys | None:
    """Keys for sealed requests from 64 bytes of `random`, the first window beginning at `now` (unix ms); None
    where the limits want none. Raises InvalidInput `bad_sealing`.
    """
    every = limits.get("sealing_every_ms", SEALING_EVERY_MS)
    count = limits.get("sealing_windows", SEALING_WINDOWS)
    grace = limits.get("sealing_grace_ms", SEALING_GRACE_MS)
    if not count:
        return None
    if every < 1 or count < 0 or not 0 <= grace <= GRACE_MS or 2 * grace > (MOST_OPEN - 2) * every:
        raise InvalidInput(
            "bad_sealing",
            "Windows of sealing keys must be some, longer than nothing, and not many at once.",
            "Set sealing_every_ms, sealing_windows and sealing_grace_ms, or leave them out.",
        )
    seed = sha256(SEALING_TAG, random(64))
    return ScheduledKeys(Ratchet(seed, since=now(), every=every, count=count), now, grace=grace)


def sealed_key(tag: bytes, secret: bytes, configuration: EnclaveConfiguration) -> bytes:
    """32 bytes that this node's enclaves of one image share, and nobody else has: SHA-256 over the tag, the
    platform's sealing secret (32 bytes), and what makes the node this one: network, owner, endpoint.
    """
    endpoint = configuration.endpoint.encode()
    return sha256(tag, secret, unhex(configuration.network), unhex(configuration.owner), endpoint)


def make_tls(random: Random, now: int) -> TLSIdentity:
    """A fresh P-256 key and its certificate, valid for a year from a day before `now` (unix ms)."""
    scalar = int.from_bytes(sha256(TLS_TAG, random(64)), "big") % (P256_ORDER - 1) + 1
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, COMMON_NAME)])
    start = datetime.datetime.fromtimestamp(now // 1000, datetime.UTC) - BACKDATE
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(random(16), "big") >> 1 or 1)
        .not_valid_before(start)
        .not_valid_after(start + LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("enclave.hallmark.internal")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return TLSIdentity(certificate.public_bytes(serialization.Encoding.DER), pem, sha256(spki))


def server_context(tls: TLSIdentity, directory: str | None = None) -> ssl.SSLContext:
    """A TLS 1.3 server context. OpenSSL reads keys from files only: one lives in `directory` (in an enclave
    a tmpfs) for the moment of loading.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    descriptor, path = tempfile.mkstemp(dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(tls.key_pem + ssl.DER_cert_to_PEM_cert(tls.certificate).encode())
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
    return context


def make_bundle(
    configuration: EnclaveConfiguration,
    key: Key,
    tls: TLSIdentity,
    *,
    hpke: bytes,
    image: bytes,
    epoch: int,
    engine: str,
    models: Mapping[str, Model],
    settlement: Key | None = None,
    sealing: Sealing | None = None,
) -> bytes:
    """Exact bytes of the KeyBundle: keys, image (48 bytes), configuration, the artifacts that were loaded."""
    artifacts = sorted({model.manifest.artifact for model in models.values()})
    return KeyBundle(
        network=configuration.network,
        owner=configuration.owner,
        endpoint=configuration.endpoint,
        payment=configuration.payment,
        epoch=epoch,
        signing_key=hex0x(key.address),
        hpke=(HPKEKey(1, KEM_X25519, KDF_SHA256, AEAD_CHACHA20, hex0x(hpke)),),
        tls_spki=hex0x(tls.spki),
        image=hex0x(image.rjust(48, b"\0")),
        configuration=hex0x(configuration.digest()),
        artifacts=tuple(artifacts),
        mode=configuration.mode,
        capacity=configuration.capacity,
        engine=engine,
        upstreams=tuple(sorted(configuration.upstreams)),
        settlement=hex0x(settlement.address) if settlement else msgspec.UNSET,
        sealing=sealing or msgspec.UNSET,
    ).encode()


def register(
    identity: Identity, configuration: EnclaveConfiguration, evidence: bytes, beacon: Beacon, now: int
) -> tuple[Registration, bytes]:
    """The Registration of this key with its evidence (encoded, or empty), and the key's signature on it."""
    statement = Registration(
        network=unhex(configuration.network),
        role=Role.NODE,
        key=identity.key.address,
        owner=unhex(configuration.owner),
        document=identity.bundle_digest,
        evidence=sha256(evidence) if evidence else ZERO32,
        beacon_size=beacon.size,
        beacon_root=beacon.root,
        at=now,
    )
    return statement, sign_statement(statement, configuration.chain_id, identity.key)
