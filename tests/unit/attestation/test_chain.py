"""Certificate chains: every constraint, every boundary of time, and the cache of validated bundles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.attestation.conftest import (
    CHAIN,
    LEAF,
    NOW,
    Development,
    Forged,
    Made,
    Recorded,
    Spec,
    forge,
    policy_for,
)
from tests.vectors.certificates import certificate, der, told

from hallmark.attestation import certificates, vcek
from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule, pcr_of
from hallmark.attestation.emulator.pki import ROOT_NAME
from hallmark.attestation.x509 import read as x509_read
from hallmark.core.errors import VerificationFailed
from hallmark.core.evidence import Evidence, Verdict

Reader = Callable[[str], Recorded]
BY_NAME = {spec.name: spec for spec in CHAIN}
WIDE = 10**9


def judge(development: Development, forged: Forged, at: int = NOW) -> Verdict:
    """The verdict on a sound document of a forged chain whose root is accepted."""
    return development.judge(forged.document(), at=at, policy=forged.policy)


@pytest.mark.parametrize("name", list(BY_NAME))
@pytest.mark.parametrize(
    ("offset", "reason"),
    [(-60_001, "certificate_not_yet_valid"), (-60_000, ""), (60_000, ""), (60_001, "certificate_expired")],
)
def test_validity_boundary_of_every_certificate(
    development: Development, boundary_chains: dict[str, Forged], name: str, offset: int, reason: str
) -> None:
    """Each of the five certificates is valid from its first to its last instant and not 1 ms beyond."""
    policy = boundary_chains[name].policy
    verdict = development.judge(boundary_chains[name].document(), at=NOW + offset, policy=policy)
    states = {step.name: step for step in verdict.steps}
    assert states["chain"].reason == reason
    if reason:
        position = {"root": "root", "leaf": "leaf"}.get(name, "authority")
        assert position in states["chain"].detail


@pytest.fixture(scope="module")
def boundary_chains() -> dict[str, Forged]:
    """For each certificate a chain in which it is valid for a minute around NOW, the others for days."""
    wide = tuple(replace(s, first=NOW - WIDE, last=NOW + WIDE) for s in CHAIN)
    return {
        spec.name: forge(wide, **{spec.name: replace(spec, first=NOW - 60_000, last=NOW + 60_000)})
        for spec in wide
    }


@pytest.mark.parametrize("name", ["og_evm", "dstack_nsmqvl", "evervault_beta_valid", "oyster_bin"])
def test_validity_boundaries_of_real_leaves(recorded: Reader, name: str) -> None:
    """A real document holds from its leaf's first second to its last, judged by the chain step."""
    document = recorded(name)
    leaf = x509.load_der_x509_certificate(document.payload["certificate"])
    first = int(leaf.not_valid_before_utc.timestamp()) * 1000
    last = int(leaf.not_valid_after_utc.timestamp()) * 1000

    def chain_reason(at: int) -> str:
        return next(s.reason for s in document.judge(at=at).steps if s.name == "chain")

    assert [chain_reason(at) for at in (first - 1, first, last, last + 1)] == [
        "certificate_not_yet_valid",
        "",
        "",
        "certificate_expired",
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replace(BY_NAME["zonal"], ca=False), "not_a_ca"),
        (replace(BY_NAME["zonal"], ca=None), "not_a_ca"),
        (replace(BY_NAME["zonal"], constraints_critical=False), "not_a_ca"),
        (replace(BY_NAME["root"], ca=False), "not_a_ca"),
        (replace(BY_NAME["regional"], path_length=1), "path_length"),
        (replace(BY_NAME["regional"], path_length=0), "path_length"),
        (replace(BY_NAME["zonal"], path_length=0), "path_length"),
        (replace(BY_NAME["root"], path_length=2), "path_length"),
        (replace(BY_NAME["instance"], with_usage=False), "key_usage"),
        (replace(BY_NAME["instance"], usage_critical=False), "key_usage"),
        (replace(BY_NAME["instance"], sign_certificates=False, sign_data=True), "key_usage"),
        (replace(BY_NAME["zonal"], critical_oid="1.2.3.4"), "critical_extension"),
        (replace(BY_NAME["zonal"], curve=ec.SECP256R1), "certificate_algorithm"),
        (replace(BY_NAME["zonal"], digest=hashes.SHA256), "certificate_algorithm"),
        (replace(BY_NAME["zonal"], issuer_name="somebody else"), "chain_names"),
        (replace(LEAF, ca=True), "leaf_is_a_ca"),
        (replace(LEAF, with_usage=False), "key_usage"),
        (replace(LEAF, sign_data=False), "key_usage"),
        (replace(LEAF, sign_certificates=True), "key_usage"),
        (replace(LEAF, critical_oid="1.2.3.4"), "critical_extension"),
        (replace(LEAF, curve=ec.SECP256K1), "certificate_algorithm"),
        (replace(LEAF, digest=hashes.SHA256), "certificate_algorithm"),
        (replace(LEAF, issuer_name="somebody else"), "chain_names"),
    ],
)
def test_unsound_certificate_is_refused(development: Development, change: Spec, reason: str) -> None:
    """Each constraint of RFC 5280 that matters here is checked at each level, and has its own reason."""
    fields = forge(CHAIN, **{change.name: change})
    key_is_p384 = change.curve is ec.SECP384R1
    document = fields.document() if key_is_p384 or change.name != "leaf" else b""
    if not document:
        # A leaf on another curve cannot make an ES384 signature, so another key signs: the chain fails first.
        document = Forged((*fields.chain[:-1], replace(fields.chain[-1], key=fields.chain[0].key))).document()
    verdict = development.judge(document, policy=fields.policy)
    chain = next(step for step in verdict.steps if step.name == "chain")
    assert chain.reason == reason


def test_leaf_without_basic_constraints_is_sound(development: Development) -> None:
    """A leaf need not say that it is no CA."""
    assert judge(development, forge(CHAIN, leaf=replace(LEAF, ca=None))).ok


def test_attackers_chain_with_the_same_names_is_refused(development: Development, sound: Forged) -> None:
    """Names prove nothing: a chain with every name right and other keys fails at the root."""
    attacker = forge()
    verdict = development.judge(attacker.document(), policy=sound.policy)
    assert verdict.reason == "root_not_accepted"


def test_attackers_authority_below_the_real_root_is_refused(development: Development, sound: Forged) -> None:
    """With the true root in front, an authority of the same name by another key fails by its signature."""
    attacker = forge()
    mixed = Forged((sound.chain[0], *attacker.chain[1:]))
    assert development.judge(mixed.document(), policy=sound.policy).reason == "chain_signature"


def test_attackers_leaf_below_real_authorities_is_refused(development: Development, sound: Forged) -> None:
    """The true bundle with a leaf by another key fails by the leaf's signature, cached bundle or not."""
    assert judge(development, sound).ok
    mixed = Forged((*sound.chain[:-1], forge().chain[-1]))
    assert development.judge(mixed.document(), policy=sound.policy).reason == "chain_signature"


def test_document_signed_by_an_authority_is_refused(development: Development, sound: Forged) -> None:
    """An authority's certificate in the place of the leaf is refused: a CA signs no evidence."""
    assert judge(development, Forged(sound.chain[:-1])).reason == "leaf_is_a_ca"


def test_leaf_as_an_authority_is_refused(development: Development, sound: Forged) -> None:
    """Whoever holds a real leaf key cannot issue certificates with it."""
    extended = Forged((*sound.chain, make_below(sound.chain[-1])))
    assert judge(development, extended).reason in ("not_a_ca", "path_length")


def make_below(issuer: Made) -> Made:
    """A leaf issued by `issuer`, whatever that is."""
    from tests.unit.attestation.conftest import make_certificate

    return make_certificate(replace(LEAF, name="below"), issuer)


def test_bundle_in_another_order_is_refused(development: Development, sound: Forged) -> None:
    """The bundle runs from root to issuer; any other order is refused."""
    root, regional, zonal, instance, leaf = sound.chain
    swapped = Forged((root, zonal, regional, instance, leaf))
    assert not judge(development, swapped).ok
    backwards = Forged((instance, zonal, regional, root, leaf))
    assert development.judge(backwards.document(), policy=sound.policy).reason == "root_not_accepted"


def test_missing_authority_is_refused(development: Development, sound: Forged) -> None:
    """A bundle with a gap fails by name."""
    root, regional, _, instance, leaf = sound.chain
    assert judge(development, Forged((root, regional, instance, leaf))).reason == "chain_names"


def test_overlong_bundle_is_refused(development: Development) -> None:
    """No more than eight authorities are walked."""
    specs = (*(Spec(f"ca{i}") for i in range(9)), LEAF)
    assert judge(development, forge(specs)).reason == "chain_too_long"


def test_root_is_compared_as_a_whole_certificate(development: Development, sound: Forged) -> None:
    """A second certificate of the same name by the same key is not the pinned root."""
    from tests.unit.attestation.conftest import make_certificate

    again = make_certificate(sound.chain[0].spec, Made(b"", sound.chain[0].key, sound.chain[0].spec))
    other = Forged((again, *sound.chain[1:]))
    assert development.judge(other.document(), policy=sound.policy).reason == "root_not_accepted"


def test_unreadable_certificates_are_refused(development: Development, sound: Forged) -> None:
    """Broken DER anywhere in the chain is a verdict, not a crash."""
    bundle = [made.der for made in sound.chain[:-1]]
    for changes in (
        {"certificate": b"\x30\x03\x02\x01\x01"},
        {"certificate": sound.chain[-1].der + b"\0"},
        {"cabundle": [*bundle[:2], b"junk", bundle[3]]},
    ):
        verdict = development.judge(sound.document(**changes), policy=sound.policy)
        assert verdict.reason == "certificate_unreadable"


@pytest.mark.parametrize("version", [1, 3, 200])
def test_certificate_of_an_unknown_version_is_unreadable(
    development: Development, sound: Forged, version: int
) -> None:
    """A certificate whose version X.509 does not know is refused like any other that cannot be read."""
    der = sound.chain[-1].der
    at = der.index(b"\xa0\x03\x02\x01\x02") + 4
    changed = der[:at] + bytes([version]) + der[at + 1 :]
    verdict = development.judge(sound.document(certificate=changed), policy=sound.policy)
    assert verdict.reason == "certificate_unreadable"


def test_development_document_is_no_aws_document(recorded: Reader, development: Development) -> None:
    """A development document under kind nitro fails at the root, and its root cannot be listed there."""
    document = development.attest().data
    verdict = recorded("og_evm").judge(evidence=Evidence("nitro", document), at=NOW)
    assert verdict.reason == "root_not_accepted"
    policy = policy_for("nitro", development.root.digest())
    listed = development.judge(Evidence("nitro", document), policy=policy)
    assert listed.reason == "not_a_vendor_root"


def test_verdict_is_the_same_with_cold_and_warm_cache(recorded: Reader) -> None:
    """Same bytes and same time give equal verdicts, whatever this process has seen before."""
    document = recorded("og_evm")
    for at in (document.at, document.at + 4 * 3_600_000):
        certificates.authorities.cache_clear()
        cold = document.judge(at=at)
        assert document.judge(at=at) == cold
    assert certificates.authorities.cache_info().hits > 0


def test_cache_does_not_outlive_the_certificates(
    development: Development, boundary_chains: dict[str, Forged]
) -> None:
    """A bundle that was valid when it was cached is refused after one of its certificates expired."""
    forged = boundary_chains["zonal"]
    assert judge(development, forged).ok
    assert judge(development, forged, at=NOW + 60_001).reason == "certificate_expired"
    assert judge(development, forged).ok


def test_failed_bundles_are_not_cached(development: Development) -> None:
    """A bundle that fails leaves nothing in the cache."""
    certificates.authorities.cache_clear()
    judge(development, forge(CHAIN, zonal=replace(BY_NAME["zonal"], ca=False)))
    assert certificates.authorities.cache_info().currsize == 0


def test_emulated_root_says_what_it_is() -> None:
    """The development root's own name says DEVELOPMENT and NOT HARDWARE."""
    root = DevelopmentRoot.create(NOW)
    assert ROOT_NAME == "DEVELOPMENT software-enclave root (NOT HARDWARE)"
    assert ROOT_NAME in root.issued.certificate.subject.rfc4514_string()


def test_two_development_roots_do_not_accept_each_other() -> None:
    """A document of one development network is refused by another."""
    one, two = DevelopmentRoot.create(NOW), DevelopmentRoot.create(NOW)
    here = Development(one, SecurityModule(one, {0: pcr_of(b"x")}))
    there = Development(two, SecurityModule(two, {0: pcr_of(b"x")}))
    assert there.judge(here.attest()).reason == "root_not_accepted"


UNREAD = [
    ("2.5.29.17", "3002a500"),
    ("2.5.29.17", "3003880180"),
    ("1.3.6.1.5.5.7.1.24", "3003020163"),
    ("2.5.29.31", "30020500"),
    ("2.5.29.35", "3080"),
    ("2.5.29.32", ""),
]


@pytest.mark.parametrize(("oid", "value"), UNREAD)
@pytest.mark.parametrize("name", ["regional", "leaf"])
def test_what_stands_inside_an_extension_that_nobody_needs_is_not_looked_at(
    development: Development, name: str, oid: str, value: str
) -> None:
    """A malformed non-critical extension neither stops the verifier nor changes its verdict."""
    spec = replace({**BY_NAME, "leaf": LEAF}[name], extra=((oid, bytes.fromhex(value)),))
    assert judge(development, forge(CHAIN, **{name: spec})).ok


@pytest.mark.parametrize(
    ("field", "data"),
    [("modulus", 2**4096), ("modulus", 4), ("exponent", 4), ("exponent", 2**70 + 1)],
)
def test_keys_that_a_library_would_not_take_are_refused(field: str, data: int) -> None:
    """Whatever numbers stand in an RSA key, the answer is a reason code."""
    numbers = {"modulus": 2**4095 + 1, "exponent": 65_537} | {field: data}
    parts = [der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers.values()]
    key = der(0x30, vcek.RSA_KEY, der(3, b"\0", der(0x30, *parts)))
    read = x509_read(certificate(key=key))
    with pytest.raises(VerificationFailed) as caught:
        vcek._rsa_key(read)
    assert caught.value.reason == "certificate_algorithm"


def test_a_point_off_the_curve_is_refused() -> None:
    """97 bytes that are no point on P-384 are refused with a reason code."""
    with pytest.raises(VerificationFailed) as caught:
        certificates.p384_key(x509_read(certificate()))
    assert caught.value.reason == "certificate_algorithm"


def test_certificates_are_read_as_published() -> None:
    """The vectors that the browser's verifier is held against say what is read here."""
    published = json.loads((Path(__file__).parents[2] / "vectors" / "certificates.json").read_text())
    assert len(published) > 130
    for vector in published:
        assert told(bytes.fromhex(vector["der"])) == vector["read"], vector["why"]
