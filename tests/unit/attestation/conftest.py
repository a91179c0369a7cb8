"""What the attestation tests share: recorded vectors, an emulated enclave, a workshop for bad documents."""

from __future__ import annotations

import base64
import datetime
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hallmark.attestation import AWS_NITRO_ROOT, verify
from hallmark.attestation.attester import NSMAttester
from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule, pcr_of
from hallmark.attestation.emulator.module import encode_payload, sign
from hallmark.core.documents import AttestationPolicy, Measurement
from hallmark.core.evidence import Evidence, Expectation, Verdict
from hallmark.core.hashing import sha256

NOW = 1_770_000_000_000
HOUR = 3_600_000
IMAGE = b"the measured image"
REPORT_DATA = bytes(range(64))
NONCE = b"n" * 32


def policy_for(kind: str, root: bytes, **changes: Any) -> AttestationPolicy:
    """A policy that accepts one kind under one root, ten minutes old, one minute of skew."""
    settings = {"max_age": 600_000, "skew": 60_000} | changes
    return AttestationPolicy("test", 1, (kind,), {kind: ("0x" + root.hex(),)}, **settings)


def measurement_for(kind: str, registers: Mapping[str, str], not_after: int = 0) -> Measurement:
    """An accepted measurement; register values in bare hex."""
    named = {name: "0x" + value for name, value in registers.items()}
    return Measurement("image", "1.0", kind, named, "source", not_after)


@dataclass
class Development:
    """An emulated enclave and a network that accepts it."""

    root: DevelopmentRoot
    module: SecurityModule
    now: int = NOW
    policy: AttestationPolicy = field(init=False)
    measurements: tuple[Measurement, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.policy = policy_for("nitro-dev", self.root.digest())
        self.measurements = (measurement_for("nitro-dev", {"PCR0": pcr_of(IMAGE).hex()}),)

    def attest(self, nonce: bytes | None = NONCE) -> Evidence:
        """Evidence by the emulated module at `now`."""
        return NSMAttester(self.module.transport(lambda: self.now), "nitro-dev").attest(REPORT_DATA, nonce)

    def judge(self, evidence: Evidence | bytes, at: int | None = None, **changes: Any) -> Verdict:
        """The verdict on evidence (or on the bytes of a document); `changes` replace arguments."""
        if isinstance(evidence, bytes):
            evidence = Evidence("nitro-dev", evidence)
        arguments = {"measurements": self.measurements, "expect": Expectation()} | changes
        policy = arguments.pop("policy", self.policy)
        return verify(evidence, policy, self.now if at is None else at, **arguments)


@dataclass(frozen=True)
class Spec:
    """How to make one certificate; the defaults are those of a sound CA."""

    name: str
    ca: bool | None = True
    path_length: int | None = None
    sign_certificates: bool = True
    sign_data: bool = False
    with_usage: bool = True
    usage_critical: bool = True
    constraints_critical: bool = True
    first: int = NOW - HOUR
    last: int = NOW + HOUR
    curve: type[ec.EllipticCurve] = ec.SECP384R1
    digest: type[hashes.SHA384] | type[hashes.SHA256] = hashes.SHA384
    issuer_name: str = ""
    critical_oid: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()


LEAF = Spec("leaf", ca=False, sign_certificates=False, sign_data=True, usage_critical=False)
CHAIN = (
    Spec("root"),
    Spec("regional", path_length=2),
    Spec("zonal", path_length=1),
    Spec("instance", path_length=0),
    LEAF,
)


@dataclass(frozen=True)
class Made:
    """A made certificate and its key."""

    der: bytes
    key: ec.EllipticCurvePrivateKey
    spec: Spec


def make_certificate(spec: Spec, issuer: Made | None) -> Made:
    """Make the certificate that `spec` describes, however unsound."""
    key = ec.generate_private_key(spec.curve())
    issuer_name = spec.issuer_name or (issuer.spec.name if issuer else spec.name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(spec.name))
        .issuer_name(_name(issuer_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(spec.first))
        .not_valid_after(_time(spec.last))
    )
    if spec.ca is not None:
        length = spec.path_length if spec.ca else None
        builder = builder.add_extension(x509.BasicConstraints(spec.ca, length), spec.constraints_critical)
    if spec.with_usage:
        usage = [spec.sign_data, False, False, False, False, spec.sign_certificates, False, False, False]
        builder = builder.add_extension(x509.KeyUsage(*usage), spec.usage_critical)
    if spec.critical_oid:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(spec.critical_oid), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=True)
    for oid, value in spec.extra:
        unread = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(unread, critical=False)
    certificate = builder.sign(issuer.key if issuer else key, spec.digest())
    return Made(certificate.public_bytes(serialization.Encoding.DER), key, spec)


@dataclass
class Forged:
    """A chain made to order, and documents by its leaf."""

    chain: tuple[Made, ...]

    @property
    def policy(self) -> AttestationPolicy:
        """A policy that accepts this chain's root."""
        return policy_for("nitro-dev", sha256(self.chain[0].der))

    def fields(self, **changes: Any) -> dict[str, Any]:
        """The fields of a sound payload, with changes; `...` as a value leaves the field out."""
        sound = {
            "module_id": "i-1-enc2",
            "digest": "SHA384",
            "timestamp": NOW,
            "pcrs": {0: pcr_of(IMAGE), 1: bytes(48), 2: bytes(48)},
            "certificate": self.chain[-1].der,
            "cabundle": [made.der for made in self.chain[:-1]],
            "public_key": None,
            "user_data": REPORT_DATA,
            "nonce": NONCE,
        }
        return {name: value for name, value in (sound | changes).items() if value is not ...}

    def document(self, payload: bytes | None = None, **changes: Any) -> bytes:
        """A document signed by the leaf over `payload`, or over the sound fields with changes."""
        return sign(
            encode_payload(self.fields(**changes)) if payload is None else payload, self.chain[-1].key
        )


def forge(specs: tuple[Spec, ...] = CHAIN, **changes: Spec) -> Forged:
    """Make a chain; `changes` replace the spec of the certificate of that name."""
    made: list[Made] = []
    for spec in specs:
        made.append(make_certificate(changes.get(spec.name, spec), made[-1] if made else None))
    return Forged(tuple(made))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _time(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms // 1000, datetime.UTC)


@dataclass(frozen=True)
class Recorded:
    """A recorded Nitro document: its bytes, and its payload read leniently."""

    name: str
    data: bytes
    payload: Mapping[str, Any]

    @property
    def at(self) -> int:
        """The document's own time."""
        return int(self.payload["timestamp"])

    def judge(self, at: int | None = None, data: bytes | None = None, **changes: Any) -> Verdict:
        """The verdict at the document's own time, its PCR0 accepted, unless changed."""
        registers = {"PCR0": self.payload["pcrs"][0].hex()}
        arguments = {
            "measurements": (measurement_for("nitro", registers),),
            "expect": Expectation(),
        } | changes
        policy = arguments.pop("policy", policy_for("nitro", AWS_NITRO_ROOT))
        evidence = arguments.pop("evidence", Evidence("nitro", self.data if data is None else data))
        return verify(evidence, policy, self.at if at is None else at, **arguments)


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of recorded vectors; tests that need it skip where it is absent."""
    default = Path(__file__).parents[3].parent / "shared" / "vectors"
    folder = Path(os.environ.get("HALLMARK_VECTORS", default))
    if not folder.is_dir():
        pytest.skip(f"no recorded vectors at {folder}; set HALLMARK_VECTORS")
    return folder


@pytest.fixture(scope="session")
def recorded(vectors: Path) -> Callable[[str], Recorded]:
    """Reads a recorded Nitro document by file name, out of base64 text or a wrapper where it is in one."""

    def read(name: str) -> Recorded:
        raw = (vectors / "nitro" / f"{name}.bin").read_bytes()
        head = bytes.fromhex("8444a1013822")
        raw = raw if head in raw else base64.b64decode(raw)
        start = raw.find(head)
        assert start >= 0, "the vector holds no COSE_Sign1"
        members = cbor2.loads(raw[start:])
        data = cbor2.dumps(members)
        assert raw[start : start + len(data)] == data
        return Recorded(name, data, cbor2.loads(members[2]))

    return read


@pytest.fixture(scope="session")
def development() -> Development:
    """One emulated enclave at NOW, for tests that change nothing in it."""
    root = DevelopmentRoot.create(NOW)
    return Development(root, SecurityModule(root, {0: pcr_of(IMAGE)}))


@pytest.fixture(scope="session")
def sound() -> Forged:
    """A sound chain made by the test's own generator."""
    return forge()
