"""Root lists: which root may stand under which kind."""

from __future__ import annotations

import pytest
from tests.unit.attestation.conftest import Development, policy_for

from hallmark.attestation import AWS_NITRO_ROOT, INTEL_SGX_ROOT, check_policy, verify
from hallmark.core.documents import AttestationPolicy
from hallmark.core.errors import InvalidInput
from hallmark.core.evidence import Evidence, Expectation

AWS, INTEL, DEV, AMD = AWS_NITRO_ROOT, INTEL_SGX_ROOT, b"\x11" * 32, b"\x22" * 32
AWS_ZIP = bytes.fromhex("8cf60e2b2efca96c6a9e71e851d00c1b6991cc09eadbe64a6a1d1b1eb9faff7c")


def policy(
    kinds: tuple[str, ...] = (), limits: tuple[int, int] = (1, 1), **roots: bytes
) -> AttestationPolicy:
    """A policy with one root a kind; underscores in names stand for hyphens."""
    named = {kind.replace("_", "-"): ("0x" + root.hex(),) for kind, root in roots.items()}
    return AttestationPolicy("roots", 1, kinds or tuple(named), named, *limits)


def test_roots_kept_apart_are_accepted() -> None:
    """Each kind with its own root is a sound policy, and TDX and SGX share Intel's."""
    check_policy(policy(nitro=AWS, nitro_dev=DEV, tdx=INTEL, sgx=INTEL, snp=AMD))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (policy(nitro=AWS, nitro_dev=AWS), "hardware_root_as_simulated"),
        (policy(nitro_dev=AWS), "hardware_root_as_simulated"),
        (policy(nitro_dev=INTEL), "hardware_root_as_simulated"),
        (policy(nitro=DEV), "not_a_vendor_root"),
        (policy(nitro=DEV, nitro_dev=DEV), "not_a_vendor_root"),
        (policy(nitro=AWS_ZIP), "not_a_vendor_root"),
        (policy(tdx=DEV), "not_a_vendor_root"),
        (policy(sgx=AWS), "not_a_vendor_root"),
        (policy(snp=DEV, nitro_dev=DEV), "roots_shared"),
        (policy(nitro=AWS, snp=AWS), "roots_shared"),
        (policy(kinds=("nitro",), nitro_dev=DEV), "roots_missing"),
        (policy(kinds=("sev",), sev=DEV), "kind_unknown"),
        (policy(limits=(-1, 0), nitro=AWS), "bad_limits"),
        (policy(limits=(0, -1), nitro=AWS), "bad_limits"),
        (policy(nitro_dev=DEV[:31]), "bad_root"),
    ],
)
def test_policy_that_mixes_roots_is_refused(bad: AttestationPolicy, reason: str) -> None:
    """Shared roots, a vendor's under a simulated kind, and any other under a vendor's kind are refused."""
    with pytest.raises(InvalidInput) as caught:
        check_policy(bad)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("extra", "root", "reason"),
    [("nitro", AWS, ""), ("snp", None, "roots_shared"), ("nitro", None, "not_a_vendor_root")],
)
def test_verification_refuses_such_a_policy_too(
    development: Development, extra: str, root: bytes | None, reason: str
) -> None:
    """Sound evidence does not pass under a policy that mixes roots anywhere, even under another kind."""
    roots = {"nitro-dev": development.root.digest(), extra: root or development.root.digest()}
    named = {kind: ("0x" + value.hex(),) for kind, value in roots.items()}
    mixed = AttestationPolicy("mixed", 1, ("nitro-dev",), named, 600_000, 60_000)
    assert development.judge(development.attest(), policy=mixed).reason == reason


def test_policy_without_a_root_for_the_kind_accepts_nothing(development: Development) -> None:
    """No root, no trust."""
    bare = AttestationPolicy("bare", 1, ("nitro-dev",), {}, 600_000, 60_000)
    assert development.judge(development.attest(), policy=bare).reason == "roots_missing"


def test_callers_roots_narrow_and_never_widen(development: Development) -> None:
    """The caller's own list of roots can only take away from the policy's."""
    evidence, root = development.attest(), development.root.digest()
    assert development.judge(evidence, roots={"nitro-dev": (root,)}).ok
    for narrow in ({"nitro-dev": ()}, {}, {"nitro-dev": (DEV,)}, {"nitro": (root,)}):
        assert development.judge(evidence, roots=narrow).reason == "roots_missing"
    other = policy_for("nitro-dev", DEV)
    assert development.judge(evidence, policy=other, roots={"nitro-dev": (root,)}).reason == "roots_missing"
    both = development.judge(evidence, policy=other, roots={"nitro-dev": (root, DEV)})
    assert both.reason == "root_not_accepted"


def test_kind_without_code_is_refused_by_verification() -> None:
    """A policy may name kinds that this code does not know; evidence of them fails."""
    unknown = policy(kinds=("sev",), sev=DEV)
    verdict = verify(Evidence("sev", b""), unknown, 0, measurements=(), expect=Expectation())
    assert verdict.reason == "kind_unknown"
