"""The emulated security module: wire, registers, certificates, and the attester that uses it."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys

import cbor2
import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.attestation.conftest import HOUR, IMAGE, NONCE, NOW, REPORT_DATA, Development

from hallmark.attestation import nsm
from hallmark.attestation.attester import Attester, NSMAttester
from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule, pcr_of, pcr_of_digest
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.evidence import Expectation

DAY = 24 * HOUR


@pytest.fixture
def module(development: Development) -> SecurityModule:
    """A fresh module whose registers a test may change."""
    return SecurityModule(development.root, {0: pcr_of(IMAGE)}, module_id="i-1-enc2")


def ask(module: SecurityModule, request: object) -> object:
    """Send a request given as plain data; the answer as plain data."""
    return cbor2.loads(module.handle(cbor2.dumps(request), NOW))


def payload_of(module: SecurityModule, now: int = NOW, **values: bytes) -> dict[str, object]:
    """The payload of a fresh document."""
    answer = cbor2.loads(module.handle(cbor2.dumps({"Attestation": values}), now))
    found = cbor2.loads(cbor2.loads(answer["Attestation"]["document"])[2])
    assert isinstance(found, dict)
    return found


def test_pcr_of_is_one_extension_of_zero() -> None:
    """A measured register is SHA384(48 zero bytes || SHA384(content))."""
    digest = hashlib.sha384(b"content").digest()
    assert pcr_of(b"content") == hashlib.sha384(bytes(48) + digest).digest()
    assert pcr_of_digest(digest) == pcr_of(b"content")
    with pytest.raises(InvalidInput) as caught:
        pcr_of_digest(b"short")
    assert caught.value.reason == "bad_pcr"


def test_exact_wire_bytes_of_requests() -> None:
    """Requests have the bytes that the Rust library's encoding gives: text for units, maps for the rest."""
    assert nsm.encode("DescribeNSM") == b"\x6bDescribeNSM"
    assert nsm.encode("GetRandom") == b"\x69GetRandom"
    assert nsm.encode("DescribePCR", {"index": 3}) == b"\xa1\x6bDescribePCR\xa1\x65index\x03"
    extend = nsm.encode("ExtendPCR", {"index": 16, "data": b"ab"})
    assert extend == b"\xa1\x69ExtendPCR\xa2\x65index\x10\x64data\x42ab"


def test_describe_nsm(module: SecurityModule) -> None:
    """The module describes itself as a Nitro module does; registers 0 to 15 are locked at start."""
    assert ask(module, "DescribeNSM") == {
        "DescribeNSM": {
            "version_major": 1,
            "version_minor": 0,
            "version_patch": 0,
            "module_id": "i-1-enc2",
            "max_pcrs": 32,
            "locked_pcrs": list(range(16)),
            "digest": "SHA384",
        }
    }


def test_describe_pcr(module: SecurityModule) -> None:
    """A register shows its value and whether it is locked."""
    assert ask(module, {"DescribePCR": {"index": 0}}) == {
        "DescribePCR": {"lock": True, "data": pcr_of(IMAGE)}
    }
    assert ask(module, {"DescribePCR": {"index": 31}}) == {"DescribePCR": {"lock": False, "data": bytes(48)}}


def test_extend_hashes_old_value_and_data(module: SecurityModule) -> None:
    """Extension is SHA384(old || data), twice in a row."""
    first = hashlib.sha384(bytes(48) + b"a").digest()
    second = hashlib.sha384(first + b"b").digest()
    assert ask(module, {"ExtendPCR": {"index": 16, "data": b"a"}}) == {"ExtendPCR": {"data": first}}
    assert ask(module, {"ExtendPCR": {"index": 16, "data": b"b"}}) == {"ExtendPCR": {"data": second}}


def test_extended_register_appears_once_locked(module: SecurityModule) -> None:
    """A document carries locked registers only; a register of the enclave's own shows after locking."""
    extended = ask(module, {"ExtendPCR": {"index": 16, "data": b"a"}})
    assert sorted(payload_of(module)["pcrs"]) == list(range(16))
    assert ask(module, {"LockPCR": {"index": 16}}) == "LockPCR"
    assert payload_of(module)["pcrs"][16] == extended["ExtendPCR"]["data"]
    assert ask(module, {"ExtendPCR": {"index": 16, "data": b"b"}}) == {"Error": "ReadOnlyIndex"}


def test_lock_pcrs_locks_a_range(module: SecurityModule) -> None:
    """LockPCRs locks the registers below its range."""
    assert ask(module, {"LockPCRs": {"range": 20}}) == "LockPCRs"
    assert ask(module, "DescribeNSM")["DescribeNSM"]["locked_pcrs"] == list(range(20))


def test_get_random_uses_the_given_source(development: Development) -> None:
    """Randomness is what was passed in, 256 bytes of it."""
    seeded = random.Random(7)
    module = SecurityModule(development.root, {}, random=seeded.randbytes)
    again = random.Random(7)
    expected_id = f"dev-{again.randbytes(8).hex()}-enc{again.randbytes(8).hex()}"
    assert module.module_id == expected_id
    assert ask(module, "GetRandom") == {"GetRandom": {"random": again.randbytes(256)}}


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"DescribePCR": {"index": 32}}, "InvalidIndex"),
        ({"DescribePCR": {"index": -1}}, "InvalidArgument"),
        ({"DescribePCR": {"index": "0"}}, "InvalidArgument"),
        ({"DescribePCR": {}}, "InvalidArgument"),
        ("DescribePCR", "InvalidArgument"),
        ({"DescribePCR": [0]}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 0, "data": b"x"}}, "ReadOnlyIndex"),
        ({"ExtendPCR": {"index": 15, "data": b"x"}}, "ReadOnlyIndex"),
        ({"ExtendPCR": {"index": 32, "data": b"x"}}, "InvalidIndex"),
        ({"ExtendPCR": {"index": 16}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16, "data": [1, 2]}}, "InvalidArgument"),
        ({"LockPCR": {"index": 0}}, "ReadOnlyIndex"),
        ({"LockPCR": {"index": 32}}, "InvalidIndex"),
        ({"LockPCRs": {"range": 33}}, "InvalidIndex"),
        ({"LockPCRs": {"range": 70000}}, "InvalidArgument"),
        ({"Attestation": {"user_data": bytes(513)}}, "InputTooLarge"),
        ({"Attestation": {"nonce": bytes(513)}}, "InputTooLarge"),
        ({"Attestation": {"public_key": bytes(1025)}}, "InputTooLarge"),
        ({"Attestation": {"public_key": b""}}, "InvalidArgument"),
        ({"Attestation": {"nonce": "text"}}, "InvalidArgument"),
        ({"Unlock": {"index": 0}}, "InvalidOperation"),
        ("Reset", "InvalidOperation"),
        ({"DescribeNSM": None, "GetRandom": None}, "InvalidArgument"),
        ([1], "InvalidArgument"),
        (7, "InvalidArgument"),
    ],
)
def test_bad_requests_get_error_codes(module: SecurityModule, request_: object, error: str) -> None:
    """What is wrong with a request is answered with the module's own error codes."""
    assert ask(module, request_) == {"Error": error}


def test_oversized_and_broken_requests(module: SecurityModule) -> None:
    """A request over 4 KiB is too large, and bytes that are no CBOR are an invalid argument."""
    assert cbor2.loads(module.handle(bytes(0x1001), NOW)) == {"Error": "InputTooLarge"}
    assert cbor2.loads(module.handle(b"", NOW)) == {"Error": "InvalidArgument"}
    assert cbor2.loads(module.handle(b"\xa1\x01", NOW)) == {"Error": "InvalidArgument"}


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_request_gets_an_answer(development: Development, data: bytes) -> None:
    """Arbitrary bytes never raise and always get one CBOR answer that fits the device's buffer."""
    answer = development.module.handle(data, NOW)
    assert len(answer) <= nsm.MAX_RESPONSE
    cbor2.loads(answer)


def test_document_has_todays_shape(module: SecurityModule) -> None:
    """The payload is an indefinite-length map in an untagged array with the nine fields of the format."""
    answer = cbor2.loads(module.handle(cbor2.dumps({"Attestation": {}}), NOW))
    document = answer["Attestation"]["document"]
    parts = cbor2.loads(document)
    assert document[0] == 0x84
    assert parts[0] == bytes.fromhex("a1013822")
    assert parts[2][0] == 0xBF
    payload = cbor2.loads(parts[2])
    assert list(payload) == [
        "module_id",
        "digest",
        "timestamp",
        "pcrs",
        "certificate",
        "cabundle",
        "public_key",
        "user_data",
        "nonce",
    ]
    assert payload["timestamp"] == NOW
    assert payload["public_key"] is payload["user_data"] is payload["nonce"] is None


def certificates_of(payload: dict[str, object]) -> list[x509.Certificate]:
    """Root, authorities and leaf of a payload."""
    return [x509.load_der_x509_certificate(d) for d in (*payload["cabundle"], payload["certificate"])]


def test_certificates_have_nitros_lifetimes(module: SecurityModule) -> None:
    """Five certificates: 30 years, 20 days, 6 days, 1 day, 3 hours; path lengths 2, 1, 0; leaf is no CA."""
    chain = certificates_of(payload_of(module))
    lives = [(c.not_valid_after_utc - c.not_valid_before_utc).total_seconds() * 1000 for c in chain]
    assert lives == [30 * 365 * DAY, 20 * DAY, 6 * DAY, DAY, 3 * HOUR]
    constraints = [c.extensions.get_extension_for_class(x509.BasicConstraints).value for c in chain]
    assert [c.path_length for c in constraints] == [None, 2, 1, 0, None]
    assert [c.ca for c in constraints] == [True, True, True, True, False]
    usage = chain[-1].extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.value.digital_signature
    assert not usage.critical


def test_certificates_are_renewed_before_they_end(development: Development) -> None:
    """Over thirty days, documents verify at their own time and for an hour after, whatever was renewed."""
    module = SecurityModule(development.root, {0: pcr_of(IMAGE)})
    leaves = set()
    for hours in (0, 1, 1.4, 2, 5, 13, 30, 24 * 4, 24 * 11, 24 * 30):
        now = NOW + int(hours * HOUR)
        evidence = NSMAttester(module.transport(lambda now=now: now), "nitro-dev").attest(REPORT_DATA)
        verdict = development.judge(evidence, at=now)
        assert verdict.ok, (hours, verdict.reason)
        later = development.judge(evidence, at=now + HOUR)
        assert {s.name: s.reason for s in later.steps}["chain"] == ""
        leaves.add(cbor2.loads(cbor2.loads(evidence.data)[2])["certificate"])
    assert len(leaves) > 5


def test_clock_that_steps_back_gets_new_certificates(development: Development) -> None:
    """After the clock was set back, documents carry certificates that are valid then."""
    module = SecurityModule(development.root, {0: pcr_of(IMAGE)})
    payload_of(module, NOW + 100 * HOUR)
    evidence = NSMAttester(module.transport(lambda: NOW), "nitro-dev").attest(REPORT_DATA)
    assert development.judge(evidence, at=NOW).ok


def test_root_survives_pem(development: Development) -> None:
    """A root read back from PEM is the same root and signs documents that the old policy accepts."""
    again = DevelopmentRoot.from_pem(development.root.to_pem())
    assert again.digest() == development.root.digest()
    module = SecurityModule(again, {0: pcr_of(IMAGE)})
    evidence = NSMAttester(module.transport(lambda: NOW), "nitro-dev").attest(REPORT_DATA, NONCE)
    assert development.judge(evidence, expect=Expectation(REPORT_DATA, NONCE)).ok
    assert b"PRIVATE" not in development.root.certificate_pem()


def test_bad_pem_is_refused(development: Development) -> None:
    """A root without its key, with another's key, or broken, is refused."""
    other = DevelopmentRoot.create(NOW)
    key_of_other = other.to_pem().removesuffix(other.certificate_pem())
    for pem in (b"", development.root.certificate_pem(), key_of_other + development.root.certificate_pem()):
        with pytest.raises(InvalidInput) as caught:
            DevelopmentRoot.from_pem(pem)
        assert caught.value.reason == "bad_development_root"


def test_registers_of_wrong_size_are_refused(development: Development) -> None:
    """A module does not start with a register that is not 48 bytes or out of range."""
    for pcrs in ({0: b"short"}, {32: bytes(48)}, {-1: bytes(48)}):
        with pytest.raises(InvalidInput):
            SecurityModule(development.root, pcrs)


def test_client_speaks_all_operations(module: SecurityModule) -> None:
    """The client that runs inside the enclave works through every operation."""
    client = nsm.Client(module.transport(lambda: NOW))
    assert client.describe()["max_pcrs"] == 32
    assert client.describe_pcr(0) == pcr_of(IMAGE)
    value = client.extend_pcr(17, b"configuration")
    assert client.describe_pcr(17) == value
    client.lock_pcr(17)
    assert len(client.random()) == 256
    assert client.attestation(b"u", None, None)[0] == 0x84
    with pytest.raises(Unavailable) as caught:
        client.extend_pcr(17, b"again")
    assert caught.value.reason == "nsm_error"
    assert "ReadOnlyIndex" in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [
        {"Attestation": {}},
        {"Attestation": {"document": "text"}},
        {"Attestation": []},
        {"GetRandom": {"random": b""}},
        "Attestation",
        {"Error": "InternalError"},
    ],
)
def test_unexpected_answers_are_no_evidence(answer: object) -> None:
    """An answer to another question, or of a wrong shape, is never taken for a document."""
    attester: Attester = NSMAttester(lambda _: cbor2.dumps(answer), "nitro")
    with pytest.raises(Unavailable) as caught:
        attester.attest(REPORT_DATA)
    assert caught.value.reason == "nsm_error"


def test_answers_that_are_no_cbor_are_refused() -> None:
    """Garbage from the transport is named as such."""
    with pytest.raises(InvalidInput) as caught:
        NSMAttester(lambda _: b"\xa1", "nitro").attest(REPORT_DATA)
    assert caught.value.reason == "bad_nsm_message"


def test_attester_takes_64_bytes_and_known_kinds() -> None:
    """Report data has 64 bytes, and a security module makes Nitro-format evidence only."""
    with pytest.raises(InvalidInput):
        NSMAttester(lambda _: b"", "tdx")
    with pytest.raises(InvalidInput) as caught:
        NSMAttester(lambda _: b"", "nitro").attest(bytes(32))
    assert caught.value.reason == "report_data_size"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import hallmark.attestation", ("cryptography", "dcap_qvl", "ssl", "asyncio")),
        ("import hallmark.attestation.attester", ("cryptography", "dcap_qvl", "ssl", "asyncio")),
        ("import hallmark.attestation.emulator, hallmark.attestation.nitro", ("dcap_qvl",)),
        ("import hallmark.attestation.dcap", ("dcap_qvl",)),
    ],
)
def test_imports_stay_light(statement: str, absent: tuple[str, ...]) -> None:
    """What runs in every service and inside the enclave does not load libraries that it does not use."""
    check = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
