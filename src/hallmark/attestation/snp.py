"""AMD SEV-SNP attestation reports, with the certificates of the chip key as collateral.

Report (AMD 56860, table "ATTESTATION_REPORT"), little-endian, 1184 bytes:

    0x000 u32 version             0x034 u32 signature algorithm   0x180 u64 reported TCB
    0x008 u64 guest policy        0x038 u64 current TCB           0x188 u8 family, u8 model (version >= 3)
    0x030 u32 VMPL                0x048 u32 key information       0x1A0 64  chip id
    0x050 64  report data         0x090 48  measurement           0x1E0 u64 committed TCB
    0x0C0 32  host data           0x0E0 48  id key digest         0x1F0 u64 launch TCB
    0x110 48  author key digest   0x2A0 r, s: 72 bytes each, little-endian, over bytes 0 to 0x29F
"""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hallmark.attestation import certificates, vcek
from hallmark.attestation.claims import Case, Check, Claims
from hallmark.attestation.roots import accepted_roots
from hallmark.attestation.x509 import Certificate
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256

REPORT_SIZE = 1184
SIGNED_SIZE = 0x2A0
SCALAR_SIZE = 72
VERSIONS: Final = range(2, 6)
ECDSA_P384_SHA384 = 1
POLICY_SMT = 1 << 16
POLICY_RESERVED_ONE = 1 << 17
POLICY_MIGRATE = 1 << 18
POLICY_DEBUG = 1 << 19
CPU_FAMILIES: Final = {
    (0x19, 0): "Milan",
    (0x19, 1): "Genoa",
    (0x19, 0xA): "Genoa",
    (0x1A, 0): "Turin",
    (0x1A, 1): "Turin",
}
# Products whose chip keys can be forged by software alone (BadFuse, 2026); no policy can accept them.
BROKEN_PRODUCTS: Final = frozenset({"Milan"})


class Report(msgspec.Struct, frozen=True):
    """The fields of a report that are judged. TCB versions are their 8 bytes as they stand."""

    version: int
    policy: int
    vmpl: int
    algorithm: int
    key_info: int
    family: int
    model: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    chip_id: bytes
    current_tcb: bytes
    reported_tcb: bytes
    committed_tcb: bytes
    launch_tcb: bytes


def examine(case: Case) -> ReportExamination:
    """Begin the examination of `case`; nothing is checked yet."""
    return ReportExamination(case)


class ReportExamination:
    """One report under examination."""

    _chain: tuple[Certificate, Certificate, Certificate]
    _chip: vcek.ChipKey
    _report: Report

    def __init__(self, case: Case) -> None:
        self._case = case

    def checks(self) -> tuple[Check, ...]:
        """Format, header, root, chain, chip, signature; then guest policy and TCB."""
        return (
            Check("format", self._format),
            Check("header", lambda: check_header(self._report)),
            Check("root", self._root),
            Check("chain", self._check_chain),
            Check("chip", self._check_chip),
            Check("signature", self._signature),
            Check("guest", lambda: check_guest(self._report), fatal=False),
            Check("tcb", lambda: check_tcb(self._report, self._chip), fatal=False),
        )

    def identity(self) -> bytes:
        """SHA-256 of the signed part of the report."""
        return sha256(self._case.evidence.data[:SIGNED_SIZE])

    def claims(self) -> Claims:
        """Registers, report data and platform facts."""
        report = self._report
        return Claims(
            registers={
                "MEASUREMENT": report.measurement.hex(),
                "HOST_DATA": report.host_data.hex(),
                "ID_KEY_DIGEST": report.id_key_digest.hex(),
                "AUTHOR_KEY_DIGEST": report.author_key_digest.hex(),
                "TCB": report.reported_tcb.hex(),
            },
            report_data=report.report_data,
            debug=bool(report.policy & POLICY_DEBUG),
            facts={
                "product": self._chip.product,
                "chip_id": report.chip_id.hex(),
                "guest_policy": f"{report.policy:#x}",
                "smt": "true" if report.policy & POLICY_SMT else "false",
                "tcb": report.reported_tcb.hex(),
                "report_data": report.report_data.hex(),
            },
        )

    def _format(self) -> str:
        self._report = read_report(self._case.evidence.data)
        self._chain = vcek.read_chain(self._case.evidence.collateral)
        return f"{REPORT_SIZE} bytes, three certificates"

    def _root(self) -> str:
        digest = sha256(self._chain[2].raw)
        if digest not in accepted_roots(self._case.policy, self._case.evidence.kind, self._case.only):
            raise VerificationFailed("root_not_accepted", f"Root {digest.hex()} is not accepted.")
        return digest.hex()

    def _check_chain(self) -> str:
        spans = vcek.check_chain(*self._chain)
        certificates.check_spans(spans, self._case.at)
        return f"3 certificates, valid at {self._case.at}"

    def _check_chip(self) -> str:
        self._chip = vcek.read_chip_key(self._chain[0])
        check_product(self._report, self._chip.product, self._case.policy.snp_products)
        return self._chip.product

    def _signature(self) -> str:
        data = self._case.evidence.data
        r, s = (
            int.from_bytes(data[at : at + SCALAR_SIZE], "little")
            for at in (SIGNED_SIZE, SIGNED_SIZE + SCALAR_SIZE)
        )
        try:
            self._chip.key.verify(encode_dss_signature(r, s), data[:SIGNED_SIZE], ec.ECDSA(hashes.SHA384()))
        except InvalidSignature as error:
            raise VerificationFailed("signature_invalid", "The chip key did not sign this report.") from error
        return "ECDSA P-384 by the chip key"


def read_report(data: bytes) -> Report:
    """Cut a report into its fields. Raises VerificationFailed `report_size`."""
    if len(data) != REPORT_SIZE:
        raise VerificationFailed("report_size", f"A report has {REPORT_SIZE} bytes, this one {len(data)}.")

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little")

    return Report(
        version=number(0x00, 4),
        policy=number(0x08, 8),
        vmpl=number(0x30, 4),
        algorithm=number(0x34, 4),
        key_info=number(0x48, 4),
        family=data[0x188],
        model=data[0x189],
        report_data=data[0x50:0x90],
        measurement=data[0x90:0xC0],
        host_data=data[0xC0:0xE0],
        id_key_digest=data[0xE0:0x110],
        author_key_digest=data[0x110:0x140],
        chip_id=data[0x1A0:0x1E0],
        current_tcb=data[0x38:0x40],
        reported_tcb=data[0x180:0x188],
        committed_tcb=data[0x1E0:0x1E8],
        launch_tcb=data[0x1F0:0x1F8],
    )


def check_header(report: Report) -> str:
    """Version, algorithm, and that the chip key (VCEK) signed, with the chip id not masked.

    Raises VerificationFailed `report_version`, `signature_algorithm`, `signing_key`.
    """
    if report.version not in VERSIONS:
        raise VerificationFailed("report_version", f"Report version {report.version} is not supported.")
    if report.algorithm != ECDSA_P384_SHA384:
        raise VerificationFailed("signature_algorithm", "The report is not signed with ECDSA P-384.")
    signing_key, masked = report.key_info >> 2 & 0b111, bool(report.key_info & 0b10)
    if signing_key != 0 or masked:
        raise VerificationFailed("signing_key", "Only reports by a chip's own key, chip id shown, are taken.")
    return f"report version {report.version}"


def check_product(report: Report, product: str, accepted: tuple[str, ...]) -> None:
    """The product is accepted, is not broken, and is what the report's processor family says.

    Raises VerificationFailed `product_denied`, `product_not_accepted`, `product_mismatch`.
    """
    if product in BROKEN_PRODUCTS:
        raise VerificationFailed("product_denied", f"Chip keys of {product} can be forged by software.")
    if product not in accepted:
        raise VerificationFailed("product_not_accepted", f"The policy does not accept {product}.")
    if report.version >= 3 and CPU_FAMILIES.get((report.family, report.model >> 4)) != product:
        raise VerificationFailed("product_mismatch", f"The report's processor is not a {product}.")


def check_guest(report: Report) -> str:
    """The guest's policy and level: no migration agent, VMPL 0.

    Raises VerificationFailed `guest_policy`, `migration_allowed`, `vmpl`.
    """
    if not report.policy & POLICY_RESERVED_ONE:
        raise VerificationFailed("guest_policy", "The guest policy's reserved bit is not set.")
    if report.policy & POLICY_MIGRATE:
        raise VerificationFailed("migration_allowed", "The guest may be migrated by an agent.")
    if report.vmpl != 0:
        raise VerificationFailed("vmpl", f"The report was asked for at VMPL {report.vmpl}, not 0.")
    return "no migration, VMPL 0"


def check_tcb(report: Report, chip: vcek.ChipKey) -> str:
    """The chip key was derived for the reported TCB and this chip, and no firmware is older than reported.

    The floor itself is part of the accepted measurement (TCB_FLOOR). Raises VerificationFailed
    `chip_id_mismatch`, `tcb_mismatch`, `tcb_rolled_back`.
    """
    if report.chip_id != chip.chip_id.ljust(len(report.chip_id), b"\0"):
        raise VerificationFailed("chip_id_mismatch", "The chip key belongs to another chip.")
    if report.reported_tcb != chip.tcb:
        raise VerificationFailed("tcb_mismatch", "The chip key belongs to another TCB version.")
    for tcb in (report.current_tcb, report.committed_tcb, report.launch_tcb):
        if any(have < need for have, need in zip(tcb, report.reported_tcb, strict=True)):
            raise VerificationFailed("tcb_rolled_back", "Firmware older than the reported TCB was running.")
    return report.reported_tcb.hex()
