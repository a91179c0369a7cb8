"""Evidence and the verdict on it. Verdicts are data; unknown is never a pass."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Protocol

import msgspec

from hallmark.core.documents import AttestationPolicy, Measurement
from hallmark.core.errors import InvalidInput


class Assurance(enum.StrEnum):
    """What stands behind a measurement."""

    HARDWARE = "hardware"
    SIMULATED = "simulated"
    NONE = "none"


class StepState(enum.StrEnum):
    """How one step of a verification ended."""

    PASS = "pass"  # noqa: S105 - a state, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class Evidence(msgspec.Struct, frozen=True):
    """Attestation evidence as it travels: `kind` (nitro, nitro-dev, tdx, sgx, snp), the bytes, and
    collateral where the kind needs it.

    Encoded: u8 length of kind, kind (ASCII), u32be length of data, data, u32be length of collateral,
    collateral.
    """

    kind: str
    data: bytes
    collateral: bytes = b""

    def encode(self) -> bytes:
        """The bytes that a registration commits to by SHA-256."""
        name = self.kind.encode("ascii")
        return b"".join(
            (
                bytes((len(name),)),
                name,
                len(self.data).to_bytes(4, "big"),
                self.data,
                len(self.collateral).to_bytes(4, "big"),
                self.collateral,
            )
        )

    @classmethod
    def decode(cls, raw: bytes) -> Evidence:
        """Read encoded evidence. Raises InvalidInput `bad_evidence`."""
        try:
            at = 1 + raw[0]
            kind = raw[1:at].decode("ascii")
            size = int.from_bytes(raw[at : at + 4], "big")
            data = raw[at + 4 : at + 4 + size]
            at += 4 + size
            size = int.from_bytes(raw[at : at + 4], "big")
            evidence = cls(kind, data, raw[at + 4 : at + 4 + size])
        except (IndexError, UnicodeDecodeError) as error:
            raise InvalidInput("bad_evidence", "The bytes are not encoded evidence.") from error
        if evidence.encode() != raw:
            raise InvalidInput("bad_evidence", "The bytes are not encoded evidence.")
        return evidence


class Step(msgspec.Struct, frozen=True):
    """One named step of a verification, with a reason code unless it passed."""

    name: str
    state: StepState
    reason: str = ""
    detail: str = ""


class Expectation(msgspec.Struct, frozen=True):
    """What the evidence must bind: 64 bytes of report data (None: not compared) and a nonce (None: not
    compared).
    """

    report_data: bytes | None = None
    nonce: bytes | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What verifying evidence showed. `ok` only when every step passed; a skipped or unknown step is
    not a pass.

    `measurement` is the name and version of the accepted measurement; `registers` maps names to
    lower-case hex; `made_at` is the evidence's own time in unix ms (0 when it carries none); `facts` holds
    kind-specific data such as tcb_status, advisories.
    """

    ok: bool
    kind: str
    assurance: Assurance
    steps: tuple[Step, ...]
    digest: bytes
    made_at: int = 0
    measurement: str = ""
    registers: Mapping[str, str] = {}
    facts: Mapping[str, str] = {}

    @property
    def reason(self) -> str:
        """Reason code of the first step that did not pass; empty when ok."""
        return next((step.reason or step.name for step in self.steps if step.state is not StepState.PASS), "")


class VerifyEvidence(Protocol):
    """The function that services pass to whoever must judge evidence; `hallmark.attestation.verify` is
    the one.
    """

    def __call__(
        self,
        evidence: Evidence,
        policy: AttestationPolicy,
        at: int,
        *,
        measurements: tuple[Measurement, ...],
        expect: Expectation,
    ) -> Verdict:
        """Judge `evidence` at time `at` (unix ms)."""
        ...
