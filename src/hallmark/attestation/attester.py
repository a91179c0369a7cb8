"""Making evidence. `Attester` is one of the four seams: whoever has a new TEE writes one.

Runs inside the enclave, so it imports nothing heavier than `cbor2`.
"""

from __future__ import annotations

from typing import Protocol

from hallmark.attestation.nsm import Client, Transport
from hallmark.core.errors import InvalidInput
from hallmark.core.evidence import Evidence

REPORT_DATA_SIZE = 64


class Attester(Protocol):
    """Makes evidence for the enclave that it runs in."""

    def attest(
        self, report_data: bytes, nonce: bytes | None = None, public_key: bytes | None = None
    ) -> Evidence:
        """Evidence that binds `report_data` (64 bytes) and, where given, `nonce` (at most 512 bytes).

        `public_key` (at most 1024 bytes) is carried where the kind has room for one. Raises Unavailable
        when no evidence can be had now.
        """
        ...


class NSMAttester:
    """Evidence from a Nitro security module, or from one that speaks like it.

    `kind` ("nitro" or "nitro-dev") is only a label: a verifier decides by the root in the document.
    """

    def __init__(self, transport: Transport, kind: str) -> None:
        if kind not in ("nitro", "nitro-dev"):
            raise InvalidInput("kind_unknown", f"A security module does not make {kind!r} evidence.")
        self._client = Client(transport)
        self._kind = kind

    def attest(
        self, report_data: bytes, nonce: bytes | None = None, public_key: bytes | None = None
    ) -> Evidence:
        """A document whose `user_data` is `report_data`; see `Attester.attest`."""
        if len(report_data) != REPORT_DATA_SIZE:
            raise InvalidInput("report_data_size", f"Report data has {REPORT_DATA_SIZE} bytes.")
        return Evidence(self._kind, self._client.attestation(report_data, nonce, public_key))
