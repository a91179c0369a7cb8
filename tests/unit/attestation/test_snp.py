"""SEV-SNP reports under certificates that these tests make themselves.

No recorded report is among the vectors: what is shown here is that the verifier keeps to its specification
on self-made evidence, not that it was tried on a real chip.
"""

from __future__ import annotations

import base64
import datetime
import random
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.unit.attestation.conftest import HOUR, NONCE, NOW, REPORT_DATA, measurement_for, policy_for

from hallmark.attestation import vcek, verify
from hallmark.attestation.judgement import nonced_report_data
from hallmark.core.evidence import Assurance, Evidence, Expectation, StepState, Verdict
from hallmark.core.hashing import sha256

MEASUREMENT = bytes(range(48))
CHIP = bytes(range(100, 164))
TCB = bytes((7, 2, 0, 0, 0, 0, 14, 72))
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
LEVELS = {"3.1": 7, "3.2": 2, "3.3": 14, "3.8": 72, "3.9": 0}


@dataclass(frozen=True)
class Chip:
    """How to make a VCEK; the defaults are those of a Genoa chip as AMD issues them."""

    product: str = "Genoa-B1"
    chip_id: bytes = CHIP
    levels: dict[str, int] = field(default_factory=lambda: dict(LEVELS))
    serial_zero: bool = True
    ca: bool = False
    last: int = NOW + HOUR
    pss: bool = True
    leave_out: str = ""


@dataclass(frozen=True)
class Authority:
    """An RSA-4096 key with its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _builder(subject: str, issuer: str, key: Any, last: int = NOW + HOUR) -> x509.CertificateBuilder:
    def time(ms: int) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(ms // 1000, datetime.UTC)

    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(0x11)
        .not_valid_before(time(NOW - HOUR))
        .not_valid_after(time(last))
    )


def make_authority(
    subject: str, issuer: Authority | None, key: rsa.RSAPrivateKey, **changes: Any
) -> Authority:
    """An ARK (without issuer) or ASK; `ca=False` or `usage=False` make it unsound."""
    above = issuer.certificate.subject.rfc4514_string().removeprefix("CN=") if issuer else subject
    usage = [False] * 9
    usage[5] = changes.get("usage", True)
    builder = (
        _builder(subject, above, key.public_key())
        .add_extension(x509.BasicConstraints(changes.get("ca", True), None), critical=True)
        .add_extension(x509.KeyUsage(*usage), critical=True)
    )
    return Authority(key, builder.sign(issuer.key if issuer else key, hashes.SHA384(), rsa_padding=PSS))


def make_vcek(chip: Chip, key: ec.EllipticCurvePrivateKey, issuer: Authority, issuer_name: str) -> bytes:
    """A chip key's certificate in DER, with serial number zero like AMD's unless the chip says otherwise."""
    builder = _builder("SEV-VCEK", issuer_name, key.public_key(), chip.last)
    values = {"2": b"\x16" + bytes((len(chip.product),)) + chip.product.encode(), "4": chip.chip_id}
    for oid, level in chip.levels.items():
        values[oid] = bytes((2, 1, level)) if level < 128 else bytes((2, 2, 0, level))
    for oid, value in values.items():
        if oid != chip.leave_out:
            raw = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.3704.1." + oid), value)
            builder = builder.add_extension(raw, critical=False)
    if chip.ca:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    scheme = PSS if chip.pss else padding.PKCS1v15()
    certificate = builder.sign(issuer.key, hashes.SHA384(), rsa_padding=scheme)
    der = certificate.public_bytes(serialization.Encoding.DER)
    if not chip.serial_zero:
        return der
    # The builder refuses serial zero, so it is put in and the result is signed again.
    tbs = certificate.tbs_certificate_bytes.replace(b"\x02\x01\x11", b"\x02\x01\x00", 1)
    signature = issuer.key.sign(tbs, scheme, hashes.SHA384())
    return der.replace(certificate.tbs_certificate_bytes, tbs).replace(certificate.signature, signature)


@dataclass(frozen=True)
class Report:
    """The fields of a report to make; the defaults are those of a sound one."""

    version: int = 3
    policy: int = 0x3_0000
    vmpl: int = 0
    algorithm: int = 1
    key_info: int = 0
    family: int = 0x19
    model: int = 0x11
    report_data: bytes = REPORT_DATA
    chip_id: bytes = CHIP
    reported: bytes = TCB
    current: bytes = TCB
    committed: bytes = TCB
    launch: bytes = TCB

    def signed_by(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """The 1184 bytes with a signature by `key`."""
        data = bytearray(1184)
        parts = {
            0x00: self.version.to_bytes(4, "little"),
            0x08: self.policy.to_bytes(8, "little"),
            0x30: self.vmpl.to_bytes(4, "little"),
            0x34: self.algorithm.to_bytes(4, "little"),
            0x38: self.current,
            0x48: self.key_info.to_bytes(4, "little"),
            0x50: self.report_data,
            0x90: MEASUREMENT,
            0x180: self.reported,
            0x188: bytes((self.family, self.model)),
            0x1A0: self.chip_id,
            0x1E0: self.committed,
            0x1F0: self.launch,
        }
        for at, value in parts.items():
            data[at : at + len(value)] = value
        r, s = decode_dss_signature(key.sign(bytes(data[:0x2A0]), ec.ECDSA(hashes.SHA384())))
        data[0x2A0 : 0x2A0 + 72] = r.to_bytes(72, "little")
        data[0x2E8 : 0x2E8 + 72] = s.to_bytes(72, "little")
        return bytes(data)


@dataclass
class Manufacturer:
    """A self-made AMD: ARK, ASK and one chip key pair."""

    ark: Authority
    ask: Authority
    key: ec.EllipticCurvePrivateKey

    def collateral(self, chip: Chip, ask: Authority | None = None, ark: Authority | None = None) -> bytes:
        """VCEK, ASK and ARK in PEM."""
        leaf = make_vcek(chip, self.key, ask or self.ask, "SEV-Genoa")
        above = ((ask or self.ask).certificate, (ark or self.ark).certificate)
        return pem(leaf) + b"".join(c.public_bytes(serialization.Encoding.PEM) for c in above)

    def judge(self, report: Report | None = None, chip: Chip | None = None, **changes: Any) -> Verdict:
        """The verdict on a report of a chip (sound by default), its measurement accepted with a floor."""
        evidence = changes.pop("evidence", None)
        if evidence is None:
            data = (report or Report()).signed_by(self.key)
            evidence = Evidence("snp", data, self.collateral(chip or Chip()))
        floor = changes.pop("floor", TCB)
        registers = {"MEASUREMENT": MEASUREMENT.hex(), "TCB_FLOOR": floor.hex()}
        expect = changes.pop("expect", Expectation())
        root = sha256(self.ark.certificate.public_bytes(serialization.Encoding.DER))
        policy = policy_for("snp", root, **({"max_age": 0} | changes))
        accepted = (measurement_for("snp", registers),)
        return verify(evidence, policy, NOW, measurements=accepted, expect=expect)


def pem(der: bytes) -> bytes:
    """DER as PEM, without looking into it."""
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


@pytest.fixture(scope="session")
def amd() -> Manufacturer:
    """One manufacturer for the session: RSA-4096 keys are slow to make."""
    ark_key, ask_key = (rsa.generate_private_key(65537, 4096) for _ in range(2))
    ark = make_authority("ARK-Genoa", None, ark_key)
    ask = make_authority("SEV-Genoa", ark, ask_key)
    return Manufacturer(ark, ask, ec.generate_private_key(ec.SECP384R1()))


def test_sound_report_verifies(amd: Manufacturer) -> None:
    """A sound report under a sound chain passes every step."""
    verdict = amd.judge(expect=Expectation(REPORT_DATA))
    assert verdict.ok, verdict.steps
    assert verdict.assurance is Assurance.HARDWARE
    assert [step.name for step in verdict.steps] == [
        "policy",
        "format",
        "header",
        "root",
        "chain",
        "chip",
        "signature",
        "guest",
        "tcb",
        "debug",
        "measurement",
        "report_data",
        "freshness",
    ]
    assert verdict.registers["MEASUREMENT"] == MEASUREMENT.hex()
    assert verdict.facts["product"] == "Genoa"
    assert verdict.facts["chip_id"] == CHIP.hex()
    assert verdict.facts["tcb"] == TCB.hex()


def test_serial_zero_chip_keys_are_read_without_a_warning(amd: Manufacturer) -> None:
    """AMD's serial number zero, which RFC 5280 forbids, is read here for chip keys, without a warning."""
    der = make_vcek(Chip(), amd.key, amd.ask, "SEV-Genoa")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = vcek.read(der)
        assert amd.judge().ok
    assert found.raw == der
    assert found.tbs in der
    assert b"\x02\x01\x00" in found.tbs[:12]
    assert amd.judge(chip=Chip(serial_zero=False)).ok


def test_serial_is_part_of_what_is_signed(amd: Manufacturer) -> None:
    """The signature is checked over the bytes as they came, the serial among them."""
    der = make_vcek(Chip(), amd.key, amd.ask, "SEV-Genoa")
    changed = der.replace(b"\xa0\x03\x02\x01\x02\x02\x01\x00", b"\xa0\x03\x02\x01\x02\x02\x01\x01", 1)
    assert changed != der
    rest = amd.collateral(Chip()).split(b"-----END CERTIFICATE-----\n", 1)[1]
    evidence = Evidence("snp", Report().signed_by(amd.key), pem(changed) + rest)
    assert amd.judge(evidence=evidence).reason == "chain_signature"


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (Report(version=1), "report_version"),
        (Report(version=6), "report_version"),
        (Report(algorithm=2), "signature_algorithm"),
        (Report(key_info=0b00100), "signing_key"),
        (Report(key_info=0b11100), "signing_key"),
        (Report(key_info=0b10), "signing_key"),
        (Report(policy=0x3_0000 | 1 << 19), "debug_mode"),
        (Report(policy=0xB_0000), "debug_mode"),
        (Report(policy=0x3_0000 | 1 << 18), "migration_allowed"),
        (Report(policy=0x1_0000), "guest_policy"),
        (Report(vmpl=1), "vmpl"),
        (Report(vmpl=3), "vmpl"),
        (Report(chip_id=CHIP[::-1]), "chip_id_mismatch"),
        (Report(chip_id=bytes(64)), "chip_id_mismatch"),
        (Report(reported=bytes((7, 2, 0, 0, 0, 0, 14, 71))), "tcb_mismatch"),
        (Report(current=bytes((7, 2, 0, 0, 0, 0, 13, 99))), "tcb_rolled_back"),
        (Report(committed=bytes(8)), "tcb_rolled_back"),
        (Report(launch=bytes((6, 2, 0, 0, 0, 0, 14, 72))), "tcb_rolled_back"),
        (Report(family=0x1A, model=0x02), "product_mismatch"),
        (Report(family=0x19, model=0x01), "product_mismatch"),
        (Report(family=0, model=0), "product_mismatch"),
    ],
)
def test_unacceptable_report_is_refused(amd: Manufacturer, report: Report, reason: str) -> None:
    """A genuine signature does not help a report that says the wrong thing."""
    verdict = amd.judge(report)
    assert verdict.reason == reason
    assert not verdict.ok


def test_old_report_version_has_no_processor_family(amd: Manufacturer) -> None:
    """Version 2 reports do not name the processor; the chip key's product stands alone."""
    assert amd.judge(Report(version=2, family=0, model=0)).ok


def test_newer_firmware_than_reported_is_fine(amd: Manufacturer) -> None:
    """Firmware may run ahead of the TCB version that the chip key was derived for."""
    ahead = bytes((8, 2, 0, 0, 0, 0, 15, 80))
    assert amd.judge(Report(current=ahead, committed=ahead, launch=ahead)).ok


@pytest.mark.parametrize("accepted", [("Genoa", "Turin"), ("Milan", "Genoa")])
def test_milan_is_denied_whatever_the_policy_says(amd: Manufacturer, accepted: tuple[str, ...]) -> None:
    """Chip keys of Milan can be forged by software, so no policy can accept it."""
    report, chip = Report(model=0x01), Chip(product="Milan-B0")
    assert amd.judge(report, chip, snp_products=accepted).reason == "product_denied"


def test_product_must_be_in_the_policy(amd: Manufacturer) -> None:
    """A product that the policy does not list is refused, and an unknown one too."""
    assert amd.judge(snp_products=("Turin",)).reason == "product_not_accepted"
    assert amd.judge(chip=Chip(product="Venice-A0")).reason == "product_unknown"


def test_turin_has_its_own_tcb_layout(amd: Manufacturer) -> None:
    """On Turin the patch levels stand at other places and the chip id has 8 bytes."""
    tcb = bytes((5, 7, 2, 14, 0, 0, 0, 72))
    chip = Chip(product="Turin-B0", chip_id=CHIP[:8], levels=LEVELS | {"3.9": 5})
    report = Report(
        family=0x1A,
        model=0x02,
        chip_id=CHIP[:8] + bytes(56),
        reported=tcb,
        current=tcb,
        committed=tcb,
        launch=tcb,
    )
    assert amd.judge(report, chip, floor=tcb).ok
    assert amd.judge(replace(report, reported=TCB), chip).reason == "tcb_mismatch"


def test_platform_below_the_measurements_floor_is_refused(amd: Manufacturer) -> None:
    """The floor stands in the accepted measurement and is compared component by component."""
    assert amd.judge(floor=bytes((7, 2, 0, 0, 0, 0, 14, 73))).reason == "tcb_below_floor"
    assert amd.judge(floor=bytes((0, 0, 0, 0, 0, 0, 15, 0))).reason == "tcb_below_floor"
    assert amd.judge(floor=bytes(8)).ok


def test_measurement_without_a_floor_accepts_nothing(amd: Manufacturer) -> None:
    """For SNP a measurement must say how old the firmware may be."""
    evidence = Evidence("snp", Report().signed_by(amd.key), amd.collateral(Chip()))
    policy = policy_for(
        "snp", sha256(amd.ark.certificate.public_bytes(serialization.Encoding.DER)), max_age=0
    )
    accepted = measurement_for("snp", {"MEASUREMENT": MEASUREMENT.hex()})
    verdict = verify(evidence, policy, NOW, measurements=(accepted,), expect=Expectation())
    assert verdict.reason == "measurement_not_accepted"


def test_nonce_is_bound_inside_report_data(amd: Manufacturer) -> None:
    """With a nonce expected, report data is the digest over both, and freshness rests on the nonce."""
    expect = Expectation(REPORT_DATA, NONCE)
    bound = Report(report_data=nonced_report_data(REPORT_DATA, NONCE))
    assert amd.judge(bound, expect=expect, max_age=600_000).ok
    assert amd.judge(Report(), expect=expect).reason == "report_data_mismatch"
    assert amd.judge(bound, expect=Expectation(REPORT_DATA, bytes(32))).reason == "report_data_mismatch"
    assert amd.judge(bound, expect=Expectation(REPORT_DATA)).reason == "report_data_mismatch"


def test_no_flipped_bit_of_the_report_passes(amd: Manufacturer) -> None:
    """Each of 150 seeded bit flips in the signed part and in the signature's scalars is refused."""
    data, collateral = Report().signed_by(amd.key), amd.collateral(Chip())
    places = [*range(0x2A0 * 8), *range(0x2A0 * 8, (0x2A0 + 48) * 8)]
    for bit in random.Random(3).sample(places, 150):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not amd.judge(evidence=Evidence("snp", bytes(flipped), collateral)).ok, bit


def test_report_of_another_chip_key_is_refused(amd: Manufacturer) -> None:
    """A report signed by a key that the VCEK does not name is refused."""
    other = ec.generate_private_key(ec.SECP384R1())
    evidence = Evidence("snp", Report().signed_by(other), amd.collateral(Chip()))
    verdict = amd.judge(evidence=evidence)
    assert verdict.reason == "signature_invalid"
    assert verdict.registers == {}


@pytest.mark.parametrize(
    ("chip", "reason"),
    [
        (Chip(last=NOW - 1000), "certificate_expired"),
        (Chip(ca=True), "leaf_is_a_ca"),
        (Chip(pss=False), "certificate_algorithm"),
        (Chip(leave_out="2"), "vcek_extensions"),
        (Chip(leave_out="4"), "vcek_extensions"),
        (Chip(leave_out="3.8"), "vcek_extensions"),
        (Chip(chip_id=bytes(7)), "vcek_extensions"),
    ],
)
def test_unsound_chip_key_is_refused(amd: Manufacturer, chip: Chip, reason: str) -> None:
    """The chip key's certificate must be valid, no CA, signed as AMD signs, and complete."""
    assert amd.judge(chip=chip).reason == reason


def test_unsound_authorities_are_refused(amd: Manufacturer) -> None:
    """ASK must be a CA that may issue, by the accepted ARK; names alone prove nothing."""
    report = Report().signed_by(amd.key)
    no_ca = make_authority("SEV-Genoa", amd.ark, amd.ask.key, ca=False)
    no_usage = make_authority("SEV-Genoa", amd.ark, amd.ask.key, usage=False)
    by_itself = make_authority("SEV-Genoa", Authority(amd.ask.key, amd.ark.certificate), amd.ask.key)
    other_name = make_authority("SEV-Other", amd.ark, amd.ask.key)
    for ask, reason in (
        (no_ca, "not_a_ca"),
        (no_usage, "key_usage"),
        (by_itself, "chain_signature"),
        (other_name, "chain_names"),
    ):
        evidence = Evidence("snp", report, amd.collateral(Chip(), ask))
        assert amd.judge(evidence=evidence).reason == reason, reason


def test_attackers_root_is_refused(amd: Manufacturer) -> None:
    """A chain of the same names under another ARK fails at the root."""
    ark = make_authority("ARK-Genoa", None, amd.ask.key)
    evidence = Evidence("snp", Report().signed_by(amd.key), amd.collateral(Chip(), ark=ark))
    assert amd.judge(evidence=evidence).reason == "root_not_accepted"


def test_malformed_parts_are_refused(amd: Manufacturer) -> None:
    """Wrong sizes, missing, superfluous and broken certificates each have a reason."""
    report, collateral = Report().signed_by(amd.key), amd.collateral(Chip())
    first = collateral.index(b"-----END CERTIFICATE-----\n") + 26
    cases = (
        (report[:-1], collateral, "report_size"),
        (report + b"\0", collateral, "report_size"),
        (report, b"", "collateral_absent"),
        (report, collateral[first:], "collateral_unreadable"),
        (report, collateral + collateral[:first], "collateral_unreadable"),
        (report, b"x" + collateral, "collateral_unreadable"),
        (report, bytes(16 * 1024 + 1), "evidence_too_large"),
        (report, pem(b"0") * 3, "certificate_unreadable"),
        (report, pem(bytes(40)) + collateral[first:], "certificate_unreadable"),
        (report, pem(b"\x30\x84" + bytes(3)) + collateral[first:], "certificate_unreadable"),
    )
    for data, certificates, reason in cases:
        assert amd.judge(evidence=Evidence("snp", data, certificates)).reason == reason


def test_truncated_certificates_get_a_verdict(amd: Manufacturer) -> None:
    """Every truncation of the chip key's certificate is refused without an exception."""
    der = make_vcek(Chip(), amd.key, amd.ask, "SEV-Genoa")
    rest = amd.collateral(Chip()).split(b"-----END CERTIFICATE-----\n", 1)[1]
    report = Report().signed_by(amd.key)
    for size in range(0, len(der), 11):
        verdict = amd.judge(evidence=Evidence("snp", report, pem(der[:size] or b"\0") + rest))
        assert verdict.reason == "certificate_unreadable", size


def test_twin_signature_has_the_same_identity(amd: Manufacturer) -> None:
    """The second valid signature (r, n - s) names the same evidence."""
    order = int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
    )
    data = bytearray(Report().signed_by(amd.key))
    s = int.from_bytes(data[0x2E8 : 0x2E8 + 72], "little")
    plain = bytes(data)
    data[0x2E8 : 0x2E8 + 72] = (order - s).to_bytes(72, "little")
    collateral = amd.collateral(Chip())
    one, two = (amd.judge(evidence=Evidence("snp", d, collateral)) for d in (plain, bytes(data)))
    assert one.ok
    assert two.ok
    assert one.digest == two.digest
    assert {s.state for s in two.steps} == {StepState.PASS}
