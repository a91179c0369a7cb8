"""Roots of trust: which root certificates may stand behind which evidence kind.

Rules, all kept by `check_roots`:

1. a simulated kind and a hardware kind never share a root;
2. a vendor's root never stands under a simulated kind;
3. where this code knows a vendor's roots (Nitro, Intel), no other root stands under that vendor's kinds, so
   that no list of hashes can turn a development root into "hardware";
4. of hardware kinds, only TDX and SGX share a root (Intel signs both).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hallmark.core.document import unhex
from hallmark.core.documents import AttestationPolicy
from hallmark.core.errors import InvalidInput

AWS_NITRO_ROOT = bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")
"""SHA-256 of the DER certificate `CN=aws.nitro-enclaves` (not of the zip file that it comes in)."""

INTEL_SGX_ROOT = bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3")
"""SHA-256 of the DER certificate `CN=Intel SGX Root CA`."""

VENDOR_ROOTS: Mapping[str, frozenset[bytes]] = {
    "nitro": frozenset({AWS_NITRO_ROOT}),
    "tdx": frozenset({INTEL_SGX_ROOT}),
    "sgx": frozenset({INTEL_SGX_ROOT}),
}
HARDWARE_KINDS = frozenset({"nitro", "tdx", "sgx", "snp"})
SIMULATED_KINDS = frozenset({"nitro-dev"})
ALL_KINDS = HARDWARE_KINDS | SIMULATED_KINDS
MAY_SHARE = frozenset({"tdx", "sgx"})


def check_policy(policy: AttestationPolicy) -> None:
    """Refuse a policy that cannot be meant. For whoever writes or admits one.

    Raises InvalidInput `kind_unknown`, `roots_missing`, `bad_limits`, and whatever `check_roots` raises.
    """
    for kind in policy.kinds:
        if kind not in ALL_KINDS:
            raise InvalidInput("kind_unknown", f"There is no evidence kind {kind!r}.")
        if not policy.roots.get(kind):
            raise InvalidInput(
                "roots_missing", f"The policy accepts {kind} evidence but names no root for it."
            )
    if policy.max_age < 0 or policy.skew < 0:
        raise InvalidInput("bad_limits", "Maximum age and skew are not negative.")
    check_roots(policy)


def check_roots(policy: AttestationPolicy) -> None:
    """Refuse root lists that mix what must stay apart; see the module docstring.

    Raises InvalidInput `bad_root`, `roots_shared`, `hardware_root_as_simulated`, `not_a_vendor_root`.
    """
    owner: dict[bytes, str] = {}
    for kind in sorted(policy.roots):
        for root in accepted_roots(policy, kind):
            _check_vendor(kind, root)
            first = owner.setdefault(root, kind)
            if first != kind and not {first, kind} <= MAY_SHARE:
                raise InvalidInput("roots_shared", f"One root stands under both {first} and {kind}.")


def accepted_roots(
    policy: AttestationPolicy, kind: str, only: Iterable[bytes] | None = None
) -> frozenset[bytes]:
    """Root digests that `policy` accepts for `kind`; with `only`, those that it lists as well.

    Raises InvalidInput `bad_root` unless each is 32 bytes of 0x-hex.
    """
    roots = frozenset(unhex(text) for text in policy.roots.get(kind, ()))
    if any(len(root) != 32 for root in roots):
        raise InvalidInput("bad_root", "A root is named by the SHA-256 of its DER certificate, 32 bytes.")
    return roots if only is None else roots & frozenset(only)


def _check_vendor(kind: str, root: bytes) -> None:
    vendors = frozenset().union(*VENDOR_ROOTS.values())
    if kind in SIMULATED_KINDS and root in vendors:
        raise InvalidInput("hardware_root_as_simulated", f"A vendor's root stands under {kind}.")
    if kind in VENDOR_ROOTS and root not in VENDOR_ROOTS[kind]:
        raise InvalidInput(
            "not_a_vendor_root",
            f"A root under {kind} is not one of the vendor's own.",
            "Use the SHA-256 of the DER certificate itself; a development root belongs under nitro-dev.",
        )
