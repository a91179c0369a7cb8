"""A little network whose evidence is real: documents of the emulated security module under a development
root.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.attestation import verify
from hallmark.attestation.attester import NSMAttester
from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule, pcr_of
from hallmark.core.beacon import evidence_nonce
from hallmark.core.document import hex0x, report_data
from hallmark.core.documents import AttestationPolicy, KeyBundle, Measurement
from hallmark.core.evidence import Evidence, VerifyEvidence
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import HOUR, LittleNetwork
from hallmark.verification.fold import Replica
from hallmark.verification.trust import RootCertificate, Trust

KIND = "nitro-dev"


class DevelopmentNetwork(LittleNetwork):
    """`LittleNetwork` with evidence that `hallmark.attestation.verify` accepts."""

    def __init__(self, *, found: bool = True, **options: Any) -> None:
        self.root = DevelopmentRoot.create(self.start)
        self.pcrs = {index: pcr_of(b"image %d" % index) for index in range(3)}
        super().__init__(found=False, **options)
        self.attestation = AttestationPolicy(
            "test", 1, (KIND,), {KIND: (hex0x(self.root.digest()),)}, 2 * HOUR, 60_000
        )
        registers = {f"PCR{index}": hex0x(value) for index, value in self.pcrs.items()}
        self.measurement = Measurement("hallmark-enclave", "1", KIND, registers, "test")
        if found:
            self.found()

    def evidence(self, bundle: bytes, size: int, root: bytes) -> Evidence:
        """A document of the emulated module that binds a bundle's exact bytes and a beacon."""
        module = SecurityModule(self.root, self.pcrs)
        attester = NSMAttester(module.transport(lambda: self.now), KIND)
        return attester.attest(report_data(KeyBundle, bundle), evidence_nonce(size, root))

    def replica(self, verify_evidence: VerifyEvidence = verify) -> Replica:
        """A replica that was fed every leaf."""
        return super().replica(verify_evidence)

    def trust(self, notary: Notary) -> Trust:
        """The network's trust file, with the development root's certificate."""
        certificate = RootCertificate(KIND, self.root.certificate_pem().decode())
        return msgspec.structs.replace(notary.trust(), root_certificates=(certificate,))
