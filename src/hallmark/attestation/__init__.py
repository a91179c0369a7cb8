"""Attestation evidence: judging it (`verify`), and making it (`attester`, `emulator`).

Importing this package is cheap: each evidence kind's code, and the libraries it needs, load at first use.
"""

from hallmark.attestation.roots import AWS_NITRO_ROOT, INTEL_SGX_ROOT, check_policy
from hallmark.attestation.verifier import KINDS, verify

__all__ = ["AWS_NITRO_ROOT", "INTEL_SGX_ROOT", "KINDS", "check_policy", "verify"]
