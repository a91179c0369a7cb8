"""Nitro documents, sound and broken in every way that tests/unit/attestation knows, for both verifiers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import cbor2
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tests.integration.browser_code.verifier_batch import Batch
from tests.unit.attestation.conftest import (
    CHAIN,
    IMAGE,
    LEAF,
    NONCE,
    NOW,
    REPORT_DATA,
    Development,
    Forged,
    Recorded,
    Spec,
    forge,
    make_certificate,
    measurement_for,
    policy_for,
)

from hallmark.attestation import AWS_NITRO_ROOT
from hallmark.attestation.emulator import pcr_of
from hallmark.attestation.emulator.module import encode_payload
from hallmark.core.documents import AttestationPolicy
from hallmark.core.evidence import Evidence, Expectation

BOUND = Expectation(REPORT_DATA, NONCE)
BY_NAME = {spec.name: spec for spec in CHAIN}
MEASURED = (measurement_for("nitro-dev", {"PCR0": pcr_of(IMAGE).hex()}),)
FLIPS = 40

FIELDS: tuple[dict[str, Any], ...] = (
    *({name: ...} for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")),
    *({name: ...} for name in ("public_key", "user_data", "nonce")),
    {"extra": 1}, {"module_id": ""}, {"module_id": b"i-1"}, {"digest": "SHA256"}, {"digest": 1},
    {"timestamp": 0}, {"timestamp": -1}, {"timestamp": 2**63}, {"timestamp": 2**64}, {"timestamp": 1.5},
    {"timestamp": True},
    {"timestamp": NOW + 60_000}, {"timestamp": NOW + 60_001}, {"timestamp": NOW - 600_000},
    {"timestamp": NOW - 600_001},
    {"timestamp": cbor2.CBORTag(2, b"\x01\x02")}, {"timestamp": float(NOW)}, {"timestamp": cbor2.undefined},
    {"pcrs": {}}, {"pcrs": []}, {"pcrs": {32: bytes(48)}}, {"pcrs": {-1: bytes(48)}},
    {"pcrs": {"0": bytes(48)}},
    {"pcrs": {0.0: bytes(48)}}, {"pcrs": {0: bytes(47)}}, {"pcrs": {0: "x" * 48}}, {"pcrs": {0: [[[]]]}},
    {"pcrs": {0: bytes(48)}}, {"pcrs": {1: bytes(48)}}, {"pcrs": {0: pcr_of(b"other")}},
    {"pcrs": {False: pcr_of(IMAGE)}},
    {"pcrs": {0: pcr_of(IMAGE), 31: bytes(48)}}, {"certificate": b""}, {"certificate": bytes(1025)},
    {"certificate": b"0\x03\x02\x01\x01"},
    {"cabundle": []}, {"cabundle": [b""]}, {"cabundle": [bytes(1025)]}, {"cabundle": b"x"},
    {"public_key": b""}, {"public_key": b"k"}, {"public_key": bytes(1025)}, {"public_key": "k"},
    {"user_data": None}, {"user_data": b""}, {"user_data": bytes(64)}, {"user_data": REPORT_DATA + b"\0"},
    {"user_data": bytes(513)}, {"user_data": "text"},
    {"nonce": None}, {"nonce": b""}, {"nonce": b"m" * 32}, {"nonce": bytes(513)}, {"nonce": 7},
    {"nonce": cbor2.CBORSimpleValue(99)},
)  # fmt: skip

CHAINS: tuple[Spec, ...] = (
    replace(BY_NAME["zonal"], ca=False), replace(BY_NAME["zonal"], ca=None),
    replace(BY_NAME["zonal"], constraints_critical=False),
    replace(BY_NAME["root"], ca=False), replace(BY_NAME["regional"], path_length=1),
    replace(BY_NAME["regional"], path_length=0),
    replace(BY_NAME["zonal"], path_length=0), replace(BY_NAME["root"], path_length=2),
    replace(BY_NAME["root"], path_length=3),
    replace(BY_NAME["instance"], with_usage=False), replace(BY_NAME["instance"], usage_critical=False),
    replace(BY_NAME["instance"], sign_certificates=False, sign_data=True),
    replace(BY_NAME["zonal"], critical_oid="1.2.3.4"),
    replace(BY_NAME["zonal"], curve=ec.SECP256R1), replace(BY_NAME["zonal"], digest=hashes.SHA256),
    replace(BY_NAME["zonal"], issuer_name="somebody else"), replace(LEAF, ca=True), replace(LEAF, ca=None),
    replace(LEAF, with_usage=False), replace(LEAF, sign_data=False), replace(LEAF, sign_certificates=True),
    replace(LEAF, critical_oid="1.2.3.4"), replace(LEAF, digest=hashes.SHA256),
    replace(LEAF, issuer_name="somebody else"),
    replace(LEAF, usage_critical=True), replace(LEAF, name="caf\u00e9 \U0001f600"),
)  # fmt: skip


def sound(batch: Batch, development: Development) -> None:
    """A document under policies, times, measurements and expectations of all kinds."""
    evidence, policy = development.attest(), development.policy
    root = policy.roots["nitro-dev"]
    aws = ("0x" + AWS_NITRO_ROOT.hex(),)
    policies: dict[str, AttestationPolicy] = {
        "": policy,
        "any age": msgspec.structs.replace(policy, max_age=0),
        "debug": msgspec.structs.replace(policy, debug=True),
        "other kinds": msgspec.structs.replace(policy, kinds=("nitro", "tdx")),
        "vendor": msgspec.structs.replace(policy, roots={"nitro-dev": aws}),
        "under nitro": policy_for("nitro", development.root.digest()),
        "intel": msgspec.structs.replace(policy, roots={"tdx": aws, "nitro-dev": root}),
    }
    for name, each in policies.items():
        for at in (NOW, NOW + 600_000, NOW + 600_001, NOW - 3_000, NOW - 3_001, NOW + 11_000_000):
            _judge(batch, f"policy {name} at {at - NOW}", evidence.data, each, at)
    for kind in ("nitro", "nitro-dev", "other"):
        for collateral in (b"", b"x"):
            other = Evidence(kind, evidence.data, collateral)
            batch.evidence(f"as {kind}", other, policy, NOW, measurements=MEASURED, expect=BOUND)
    for expect in (
        Expectation(bytes(64), NONCE),
        Expectation(REPORT_DATA, bytes(32)),
        Expectation(REPORT_DATA),
    ):
        batch.evidence("expect", evidence, policy, NOW, measurements=MEASURED, expect=expect)
    parts = cbor2.loads(evidence.data)
    for index, value in (
        (0, cbor2.dumps({1: -7})), (0, b""), (0, {1: -35}), (1, {4: b"k"}), (1, None), (1, []), (2, b""),
        (2, "text"),
        (3, bytes(95)), (3, bytes(97)), (3, bytes(96)), (3, b"\xff" * 96), (3, parts[3][:48] + bytes(48)),
    ):  # fmt: skip
        changed = [*parts[:index], value, *parts[index + 1 :]]
        _judge(batch, f"member {index} as {value!r:.20}", cbor2.dumps(changed), policy)
    for wrap in WRAPS:
        _judge(batch, "wrapped", wrap(evidence.data), policy)


WRAPS: tuple[Callable[[bytes], bytes], ...] = (
    lambda d: b"\xd2" + d, lambda d: b"\xd2\xd2" + d, lambda d: d + b"\0", lambda d: d + d, lambda d: d[:-1],
    lambda d: b"",
    lambda d: b"\xd9\xd9\xf7" + d, lambda d: cbor2.dumps([d]), lambda d: cbor2.dumps(cbor2.loads(d)[:3]),
    lambda d: cbor2.dumps([*cbor2.loads(d), 1]), lambda d: b"\x9f" + d[1:] + b"\xff",
    lambda d: b"\x98\x04" + d[1:],
    lambda d: cbor2.dumps({}), lambda d: d + bytes(16_385),
)  # fmt: skip


def forged(batch: Batch) -> None:
    """Documents that are properly signed under an accepted root, with everything else wrong in turn."""
    made = forge()
    for fields in FIELDS:
        _judge(batch, f"fields {fields!r:.40}", made.document(**fields), made.policy)
    pairs = made.fields()
    payload = encode_payload(pairs)
    inner = b"\xa2\x00" + cbor2.dumps(pcr_of(IMAGE)) + b"\x00" + cbor2.dumps(pcr_of(b"other"))
    payloads = {
        "definite": cbor2.dumps(pairs),
        "twice": payload[:-1] + cbor2.dumps("pcrs") + cbor2.dumps({0: pcr_of(b"other")}) + b"\xff",
        "register twice": payload.replace(cbor2.dumps(pairs["pcrs"]), inner),
        "more": payload + b"\xf6",
        "a list": cbor2.dumps([1]),
        "unknown key": cbor2.dumps(pairs | {1: 1}),
        "odd keys": cbor2.dumps(pairs | {1: 1, "x": 1, b"x": 2, None: 3, 1.5: 4, False: 0}),
        "chunked": payload.replace(cbor2.dumps("SHA384"), b"\x7f\x63SHA\x63384\xff"),
        "long lengths": payload.replace(cbor2.dumps("SHA384"), b"\x7a\x00\x00\x00\x06SHA384"),
        "deep": cbor2.dumps(pairs | {"nonce": [[[[1]]]]}),
    }
    for name, each in payloads.items():
        _judge(batch, f"payload {name}", made.document(each), made.policy)
    root, regional, zonal, instance, leaf = made.chain
    other = forge()
    below = make_certificate(replace(LEAF, name="below"), leaf)
    orders = {
        "attacker": other.chain, "mixed": (root, *other.chain[1:]),
        "other leaf": (*made.chain[:-1], other.chain[-1]),
        "authority signs": made.chain[:-1], "leaf issues": (*made.chain, below),
        "swapped": (root, zonal, regional, instance, leaf),
        "backwards": (instance, zonal, regional, root, leaf), "gap": (root, regional, instance, leaf),
        "root alone": (root, leaf),
    }  # fmt: skip
    for name, chain in orders.items():
        _judge(batch, f"chain {name}", Forged(chain).document(), made.policy)
    for spec in CHAINS:
        _chain(
            batch,
            f"{spec}"[:300],
            forge(CHAIN, **{spec.name: spec}) if spec.name in BY_NAME else forge((*CHAIN[:-1], spec)),
        )
    _chain(batch, "leaf on another curve", _with_leaf(made, replace(LEAF, curve=ec.SECP256K1)))
    _chain(batch, "too long", forge((*(Spec(f"ca{i}") for i in range(9)), LEAF)))
    wide = tuple(replace(s, first=NOW - 10**9, last=NOW + 10**9) for s in CHAIN)
    for spec in wide:
        bounded = forge(wide, **{spec.name: replace(spec, first=NOW - 60_000, last=NOW + 60_000)})
        for offset in (-60_001, -60_000, 60_000, 60_001):
            _judge(
                batch,
                f"{spec.name} at {offset}",
                bounded.document(timestamp=NOW),
                bounded.policy,
                NOW + offset,
            )
    _certificates(batch, made)
    _judge(batch, "two algorithms", made.document(certificate=_two_algorithms(made)), made.policy)


UNREAD = (
    ("2.5.29.17", "3002a500"), ("2.5.29.17", "300388012a"), ("1.3.6.1.5.5.7.1.24", "3003020163"),
    ("2.5.29.14", "0500"), ("2.5.29.35", "3080"), ("2.5.29.31", "30023000"), ("2.5.29.32", ""),
    ("1.2.3", "ff"),
)  # fmt: skip


def unread(batch: Batch) -> None:
    """Certificates with malformed extensions that nobody needs: both verifiers take them."""
    for spec in CHAIN[1:]:
        for oid, value in UNREAD:
            made = forge(CHAIN, **{spec.name: replace(spec, extra=((oid, bytes.fromhex(value)),))})
            _chain(batch, f"unread {oid} of {value} in {spec.name}", made)


def _two_algorithms(made: Forged) -> bytes:
    """The leaf's certificate, signed anew with SHA-384 over content that names SHA-256."""
    plain, other = bytes.fromhex("300a06082a8648ce3d040303"), bytes.fromhex("300a06082a8648ce3d040302")
    content = x509.load_der_x509_certificate(made.chain[-1].der).tbs_certificate_bytes.replace(
        plain, other, 1
    )
    signature = made.chain[-2].key.sign(content, ec.ECDSA(hashes.SHA384()))
    body = content + plain + b"\x03" + bytes((len(signature) + 1, 0)) + signature
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


def recorded(batch: Batch, found: Iterator[Recorded]) -> None:
    """Real documents at their own time, around it, and with changed bytes."""
    for document in found:
        payload = document.payload
        policy = policy_for("nitro", AWS_NITRO_ROOT, debug=True)
        measured = (measurement_for("nitro", {"PCR0": payload["pcrs"][0].hex()}),)
        expect = Expectation(payload["user_data"] or bytes(64), payload["nonce"])
        chance = random.Random(document.name)
        texts = [document.data, *(_changed(document.data, chance) for _ in range(4))]
        for number, data in enumerate(texts):
            evidence = Evidence("nitro", data)
            name = f"{document.name} {number}"
            batch.evidence(name, evidence, policy, document.at, measurements=measured, expect=expect)
        evidence = Evidence("nitro", document.data)
        for at in (document.at + 4 * 3_600_000, document.at - 4 * 3_600_000, document.at + 600_001):
            batch.evidence(
                f"{document.name} {at}", evidence, policy, at, measurements=measured, expect=expect
            )
        strict = policy_for("nitro", AWS_NITRO_ROOT)
        batch.evidence(document.name, evidence, strict, document.at, measurements=measured, expect=expect)


def flipped(batch: Batch, development: Development) -> None:
    """One document with changed bytes anywhere."""
    data, chance = development.attest().data, random.Random(1)
    for _ in range(FLIPS):
        _judge(batch, "flip", _changed(data, chance), development.policy)


def _certificates(batch: Batch, made: Forged) -> None:
    """The leaf's certificate with changed bytes, in a document that its key signed all the same."""
    chance = random.Random(3)
    for number in range(FLIPS):
        der = _changed(made.chain[-1].der, chance)
        if b"\xa0\x03\x02\x01\x02" in der:  # another version is refused here and raises there
            _judge(batch, f"certificate {number}", made.document(certificate=der), made.policy)


def _with_leaf(made: Forged, spec: Spec) -> Forged:
    leaf = make_certificate(spec, made.chain[-2])
    return Forged((*made.chain[:-1], replace(leaf, key=made.chain[0].key)))


def _changed(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    value = chance.choice(
        (data[at] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 5, 0x30, 0x80, 0xFF)
    )
    return data[:at] + bytes((value,)) + data[at + 1 :]


def _chain(batch: Batch, name: str, made: Forged) -> None:
    _judge(batch, name, made.document(), made.policy)


def _judge(batch: Batch, name: str, data: bytes, policy: AttestationPolicy, at: int = NOW) -> None:
    evidence = Evidence(policy.kinds[0] if len(policy.kinds) == 1 else "nitro-dev", data)
    batch.evidence(name, evidence, policy, at, measurements=MEASURED, expect=BOUND)
