"""The development PKI: five P-384 certificates with the lifetimes and constraints that Nitro's have.

    root        30 years     CN=DEVELOPMENT software-enclave root (NOT HARDWARE)
    regional    20 days      pathlen 2
    zonal        6 days      pathlen 1
    instance     1 day       pathlen 0
    leaf         3 hours     digitalSignature, not critical, as Nitro has it

Certificates begin three seconds before they are made, also as Nitro's do.
"""

from __future__ import annotations

import datetime
import hmac
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256

ROOT_NAME: Final = "DEVELOPMENT software-enclave root (NOT HARDWARE)"
ORGANIZATION: Final = "Hallmark development"
SEALING_TAG: Final = b"hallmark/development-sealing/v1\0"
BACKDATE = 3_000
HOUR = 3_600_000
DAY = 24 * HOUR
ROOT_LIFETIME = 30 * 365 * DAY


class Level(NamedTuple):
    """One kind of certificate below the root: its name, lifetime in ms, path length (None: not a CA)."""

    name: str
    lifetime: int
    path_length: int | None


LEVELS: Final = (
    Level("regional", 20 * DAY, 2),
    Level("zonal", 6 * DAY, 1),
    Level("instance", DAY, 0),
    Level("leaf", 3 * HOUR, None),
)


class Issued(msgspec.Struct, frozen=True):
    """A certificate with its private key; validity in unix ms."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    not_before: int
    not_after: int

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def is_fresh(self, now: int) -> bool:
        """True while at least half of the lifetime is left."""
        return self.not_before <= now <= (self.not_before + self.not_after) // 2


class DevelopmentRoot(msgspec.Struct, frozen=True):
    """The development root: its key and certificate. Whoever has it can forge any `nitro-dev` evidence."""

    issued: Issued

    @classmethod
    def create(cls, now: int) -> Self:
        """A new root with a fresh key, valid for 30 years from `now` (unix ms)."""
        return cls(issue(Level(ROOT_NAME, ROOT_LIFETIME, None), now, None))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read what `to_pem` wrote. Raises InvalidInput `bad_development_root`."""
        try:
            key = serialization.load_pem_private_key(pem, None)
            certificate = x509.load_pem_x509_certificate(pem)
        except (ValueError, TypeError) as error:
            raise InvalidInput("bad_development_root", "This is not a development root in PEM.") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise InvalidInput("bad_development_root", "Key and certificate do not belong together.")
        return cls(
            Issued(
                key, certificate, _ms(certificate.not_valid_before_utc), _ms(certificate.not_valid_after_utc)
            )
        )

    def to_pem(self) -> bytes:
        """Private key (PKCS #8, not encrypted) and certificate. Keep it readable for its owner only."""
        return (
            self.issued.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self.certificate_pem()
        )

    def certificate_pem(self) -> bytes:
        """The certificate alone, for trust files."""
        return self.issued.certificate.public_bytes(serialization.Encoding.PEM)

    def sealing_secret(self, registers: Sequence[bytes]) -> bytes:
        """32 bytes for the image with these registers: HMAC-SHA-256 under the root's private key."""
        secret = self.issued.key.private_numbers().private_value.to_bytes(48, "big")
        return hmac.digest(secret, SEALING_TAG + b"".join(registers), "sha256")

    def digest(self) -> bytes:
        """SHA-256 of the DER certificate: how policies name this root; 32 bytes."""
        return sha256(self.issued.der)


class Chain:
    """The certificates below a root, renewed as they age."""

    def __init__(self, root: DevelopmentRoot, module_id: str) -> None:
        self._root = root.issued
        self._module_id = module_id
        self._below: list[Issued] = []

    def at(self, now: int) -> tuple[Issued, tuple[bytes, ...]]:
        """Leaf with key, and the CA bundle (root first, DER), for a document made at `now` (unix ms).

        What has less than half of its life left is issued anew, with all below it.
        """
        fresh = next((i for i, each in enumerate(self._below) if not each.is_fresh(now)), len(self._below))
        del self._below[fresh:]
        for level in LEVELS[len(self._below) :]:
            named = level._replace(name=f"{self._module_id}.{level.name}.development")
            self._below.append(issue(named, now, (self._below or [self._root])[-1]))
        *above, leaf = self._below
        return leaf, (self._root.der, *(each.der for each in above))


def issue(level: Level, now: int, issuer: Issued | None) -> Issued:
    """Make a key and its certificate, valid from three seconds before `now`; without an issuer, a root."""
    key = ec.generate_private_key(ec.SECP384R1())
    subject = _name(level.name)
    is_ca = issuer is None or level.path_length is not None
    first = (now - BACKDATE) // 1000 * 1000
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(first))
        .not_valid_after(_time(first + level.lifetime))
        .add_extension(x509.BasicConstraints(is_ca, level.path_length), critical=True)
        .add_extension(_usage(is_ca=is_ca), critical=is_ca)
    )
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA384())
    return Issued(key, certificate, first, first + level.lifetime)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, common[:64]),
        ]
    )


def _time(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms // 1000, datetime.UTC)


def _ms(time: datetime.datetime) -> int:
    return int(time.timestamp()) * 1000
