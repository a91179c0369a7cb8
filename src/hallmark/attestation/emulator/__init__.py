"""An emulated Nitro security module. It measures nothing and protects nothing: it signs what it is told.

Its documents have the production format and go through the production verifier, under a root whose name says
DEVELOPMENT and NOT HARDWARE. Whoever holds the root key, or root on the host, can make it say anything.
"""

from hallmark.attestation.emulator.module import SecurityModule, pcr_of, pcr_of_digest
from hallmark.attestation.emulator.pki import DevelopmentRoot

__all__ = ["DevelopmentRoot", "SecurityModule", "pcr_of", "pcr_of_digest"]
