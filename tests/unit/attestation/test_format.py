"""Nitro documents whose bytes are wrong: CBOR, COSE, fields, and every kind of bit flip."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.attestation.conftest import IMAGE, Development, Forged, Recorded

from hallmark.attestation import INTEL_SGX_ROOT, verify
from hallmark.attestation.emulator import pcr_of
from hallmark.attestation.emulator.module import encode_payload
from hallmark.core.documents import AttestationPolicy
from hallmark.core.evidence import Evidence, Expectation, StepState

Reader = Callable[[str], Recorded]
P384_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)


def members(document: bytes) -> list[Any]:
    """The four members of a document."""
    found = cbor2.loads(document)
    assert isinstance(found, list)
    return found


def step_states(verdict: Any) -> dict[str, StepState]:
    """State by step name."""
    return {step.name: step.state for step in verdict.steps}


def test_sound_forgery_of_our_own_passes(development: Development, sound: Forged) -> None:
    """The test's own generator makes documents that pass, so each refusal below has one cause only."""
    assert development.judge(sound.document(), policy=sound.policy).ok


def test_payload_map_may_be_definite_or_indefinite(development: Development, sound: Forged) -> None:
    """Both encodings of the payload map are read."""
    definite = cbor2.dumps(sound.fields())
    indefinite = encode_payload(sound.fields())
    assert definite[0] == 0xA9
    assert indefinite[0] == 0xBF
    for payload in (definite, indefinite):
        assert development.judge(sound.document(payload), policy=sound.policy).ok


def test_tag_18_is_optional_and_changes_no_identity(development: Development) -> None:
    """A document may be tagged 18 or untagged; it is the same evidence."""
    document = development.attest().data
    plain, tagged = development.judge(document), development.judge(b"\xd2" + document)
    assert plain.ok
    assert tagged.ok
    assert plain.digest == tagged.digest


@pytest.mark.parametrize(
    ("wrap", "reason"),
    [
        (lambda d: d + b"\x00", "trailing_bytes"),
        (lambda d: d + d, "trailing_bytes"),
        (lambda d: d[:-1], "bad_cbor"),
        (lambda d: b"", "bad_cbor"),
        (lambda d: b"\xd9\xd9\xf7" + d, "bad_cbor"),
        (lambda d: b"\xd2\xd2" + d, "bad_cbor"),
        (lambda d: b"\xd1" + d, "bad_cbor"),
        (lambda d: cbor2.dumps(members(d)[:3]), "not_cose_sign1"),
        (lambda d: cbor2.dumps([*members(d), b""]), "not_cose_sign1"),
        (lambda d: cbor2.dumps(dict(enumerate(members(d)))), "not_cose_sign1"),
        (lambda d: b"\x9f" + d[1:] + b"\xff", "bad_cbor"),
        (lambda d: b"\x81" * 500 + b"\x00", "bad_cbor"),
        (lambda d: d.ljust(16 * 1024 + 1, b"\0"), "evidence_too_large"),
    ],
)
def test_outer_encoding_is_strict(
    development: Development, wrap: Callable[[bytes], bytes], reason: str
) -> None:
    """Trailing bytes, truncation, other tags, other shapes, deep nesting and oversize are refused."""
    verdict = development.judge(wrap(development.attest().data))
    assert verdict.reason == reason
    assert not verdict.ok


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({0: cbor2.dumps({1: -7})}, "cose_algorithm"),
        ({0: cbor2.dumps({1: -35.0})}, "cose_algorithm"),
        ({0: cbor2.dumps({1: -35, 4: b"k"})}, "cose_algorithm"),
        ({0: b""}, "cose_algorithm"),
        ({0: {1: -35}}, "cose_algorithm"),
        ({1: {4: b"k"}}, "cose_unprotected"),
        ({1: None}, "cose_unprotected"),
        ({2: b""}, "cose_shape"),
        ({2: "text"}, "cose_shape"),
        ({3: bytes(95)}, "cose_shape"),
        ({3: bytes(97)}, "cose_shape"),
        ({3: bytes(96)}, "signature_invalid"),
    ],
)
def test_cose_header_is_exact(development: Development, change: dict[int, object], reason: str) -> None:
    """Only ES384, an empty unprotected header, a payload and 96 bytes of signature are taken."""
    parts = members(development.attest().data)
    for index, value in change.items():
        parts[index] = value
    assert development.judge(cbor2.dumps(parts)).reason == reason


def test_duplicate_keys_are_refused(development: Development, sound: Forged) -> None:
    """A payload that names PCRs twice is refused though its leaf signed it: readers would disagree on it."""
    payload = encode_payload(sound.fields())
    twice = payload[:-1] + cbor2.dumps("pcrs") + cbor2.dumps({0: pcr_of(b"other")}) + b"\xff"
    assert cbor2.loads(twice)["pcrs"] == {0: pcr_of(b"other")}
    assert development.judge(sound.document(twice), policy=sound.policy).reason == "bad_cbor"


def test_duplicate_pcr_indices_are_refused(development: Development, sound: Forged) -> None:
    """The same register twice is refused, inside the inner map too."""
    inner = b"\xa2" + b"\x00" + cbor2.dumps(pcr_of(IMAGE)) + b"\x00" + cbor2.dumps(pcr_of(b"other"))
    payload = b"\xbf" + b"".join(
        cbor2.dumps(k) + (inner if k == "pcrs" else cbor2.dumps(v)) for k, v in sound.fields().items()
    )
    assert development.judge(sound.document(payload + b"\xff"), policy=sound.policy).reason == "bad_cbor"


@pytest.mark.parametrize("extra", [b"\x00", b"\xf6", b"\xff"])
def test_trailing_bytes_in_the_payload_are_refused(
    development: Development, sound: Forged, extra: bytes
) -> None:
    """Bytes behind the payload map are refused though they are signed."""
    payload = encode_payload(sound.fields()) + extra
    assert development.judge(sound.document(payload), policy=sound.policy).reason == "trailing_bytes"


def test_deep_nesting_in_the_payload_is_refused(development: Development, sound: Forged) -> None:
    """Nesting beyond what the format needs is refused before anything else is read."""
    payload = cbor2.dumps(sound.fields(pcrs={0: [[[]]]}))
    assert development.judge(sound.document(payload), policy=sound.policy).reason == "bad_cbor"


@pytest.mark.parametrize("name", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"])
def test_missing_field_is_refused(development: Development, sound: Forged, name: str) -> None:
    """Each required field must be there."""
    verdict = development.judge(sound.document(**{name: ...}), policy=sound.policy)
    assert verdict.reason == "field_missing"


@pytest.mark.parametrize("name", ["public_key", "user_data", "nonce"])
def test_optional_field_may_be_absent(development: Development, sound: Forged, name: str) -> None:
    """The three caller's fields may be left out altogether."""
    assert development.judge(sound.document(**{name: ...}), policy=sound.policy).ok


def test_unknown_field_is_refused(development: Development, sound: Forged) -> None:
    """A field that the specification does not know is refused."""
    assert development.judge(sound.document(extra=1), policy=sound.policy).reason == "field_unknown"
    payload = cbor2.dumps(sound.fields() | {1: 1})
    assert development.judge(sound.document(payload), policy=sound.policy).reason == "field_unknown"


@pytest.mark.parametrize(
    "changes",
    [
        {"module_id": ""},
        {"module_id": b"i-1"},
        {"digest": "SHA256"},
        {"timestamp": 0},
        {"timestamp": -1},
        {"timestamp": 2**64},
        {"timestamp": 1.5},
        {"timestamp": True},
        {"pcrs": {}},
        {"pcrs": []},
        {"pcrs": {32: bytes(48)}},
        {"pcrs": {-1: bytes(48)}},
        {"pcrs": {"0": bytes(48)}},
        {"pcrs": {0.0: bytes(48)}},
        {"pcrs": {0: bytes(47)}},
        {"pcrs": {0: bytes(32)}},
        {"pcrs": {0: "x" * 48}},
        {"certificate": b""},
        {"certificate": bytes(1025)},
        {"cabundle": []},
        {"cabundle": [b""]},
        {"cabundle": [bytes(1025)]},
        {"cabundle": b"x"},
        {"public_key": b""},
        {"public_key": bytes(1025)},
        {"user_data": bytes(513)},
        {"user_data": "text"},
        {"nonce": bytes(513)},
        {"nonce": 7},
    ],
)
def test_field_of_wrong_type_or_length_is_refused(
    development: Development, sound: Forged, changes: dict[str, object]
) -> None:
    """Every field has a type and limits, and signed nonsense is refused as well as unsigned."""
    verdict = development.judge(sound.document(**changes), policy=sound.policy)
    assert verdict.reason in ("field_invalid", "bad_cbor")
    assert not verdict.ok


def test_tags_in_the_payload_are_refused(development: Development, sound: Forged) -> None:
    """A tagged value (a bignum timestamp) is refused though cbor2 would read it as an integer."""
    payload = encode_payload(sound.fields(timestamp=cbor2.CBORTag(2, (1_770_000_000_000).to_bytes(6, "big"))))
    assert development.judge(sound.document(payload), policy=sound.policy).reason == "bad_cbor"


def test_payload_that_is_no_map_is_refused(development: Development, sound: Forged) -> None:
    """A signed list is no payload."""
    assert development.judge(sound.document(cbor2.dumps([1])), policy=sound.policy).reason == "field_invalid"


def test_unexpected_collateral_is_refused(development: Development) -> None:
    """Collateral beside a document has no meaning and would make a second encoding of one evidence."""
    evidence = development.attest()
    assert development.judge(Evidence("nitro-dev", evidence.data, b"x")).reason == "collateral_unexpected"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("name", ["og_evm", "oyster_bin"])
def test_no_flipped_bit_of_a_real_document_passes(recorded: Reader, name: str) -> None:
    """Of 300 seeded bit flips anywhere in a document none passes."""
    document = recorded(name)
    chance = random.Random(name)
    for _ in range(300):
        data = bytearray(document.data)
        bit = chance.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        verdict = document.judge(data=bytes(data))
        assert not verdict.ok, f"bit {bit} passed"


def test_flipped_signature_bit_is_named_as_such(development: Development) -> None:
    """One bit of the signature gives `signature_invalid`, and what stands behind it is skipped."""
    data = bytearray(development.attest().data)
    data[-1] ^= 1
    verdict = development.judge(bytes(data))
    states = step_states(verdict)
    assert verdict.reason == "signature_invalid"
    assert states["chain"] is StepState.PASS
    assert all(states[name] is StepState.SKIPPED for name in ("debug", "measurement", "freshness"))
    assert verdict.registers == {}
    assert verdict.made_at == 0


def test_malleated_twin_verifies_with_the_same_identity(recorded: Reader) -> None:
    """(r, n - s) is a second valid signature: it passes, and it is the same evidence, not another."""
    document = recorded("og_evm")
    parts = members(document.data)
    r, s = parts[3][:48], int.from_bytes(parts[3][48:], "big")
    parts[3] = r + (P384_ORDER - s).to_bytes(48, "big")
    twin = cbor2.dumps(parts)
    assert twin != document.data
    first, second = document.judge(), document.judge(data=twin)
    assert first.ok
    assert second.ok
    assert first.digest == second.digest


def test_identity_differs_between_documents(development: Development) -> None:
    """Two documents of one enclave have two identities."""
    one, two = development.attest(b"1" * 32), development.attest(b"2" * 32)
    assert development.judge(one).digest != development.judge(two).digest


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    """Arbitrary bytes under any kind never raise and never pass."""
    roots = {"nitro-dev": ("0x" + "11" * 32,), "snp": ("0x" + "22" * 32,)}
    roots |= dict.fromkeys(("tdx", "sgx"), ("0x" + INTEL_SGX_ROOT.hex(),))
    policy = AttestationPolicy("any", 1, tuple(roots), roots, 1, 1)
    for kind in (*roots, "other"):
        evidence = Evidence(kind, data, data if kind in ("tdx", "sgx", "snp") else b"")
        verdict = verify(evidence, policy, 0, measurements=(), expect=Expectation())
        assert not verdict.ok
        assert len(verdict.digest) == 32


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary()),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(
    name=st.sampled_from(("digest", "timestamp", "pcrs", "certificate", "cabundle", "nonce")), value=VALUES
)
@settings(max_examples=100, deadline=None)
def test_arbitrary_signed_field_gets_a_verdict(sound: Forged, name: str, value: object) -> None:
    """A signed payload with any CBOR value in any field is judged, never crashed upon, and never passes."""
    evidence = Evidence("nitro-dev", sound.document(**{name: value}))
    assert not verify(evidence, sound.policy, 1, measurements=(), expect=Expectation()).ok
