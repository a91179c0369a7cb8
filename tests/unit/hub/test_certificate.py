"""Availability certificates: made of a quorum's confirmations, and refused otherwise."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.crypto import bls
from hallmark.hub.certificate import (
    Certificate,
    certify,
    confirmation_message,
    read_certificate,
    verify_certificate,
    verify_confirmation,
)
from hallmark.testing.committees import committee_of, secret_of

BLOB = bytes(range(32))
NAME = blob_text(BLOB)
COMMITTEE = committee_of(7, shards=1000)


def confirmations(*nodes: int) -> dict[int, bytes]:
    """What these nodes sign."""
    message = confirmation_message(COMMITTEE.epoch, BLOB)
    return {node: bls.sign(secret_of(f"node-{node}"), message) for node in nodes}


def refused(certificate: Certificate, name: str = NAME) -> str:
    """The reason why a certificate does not hold."""
    with pytest.raises(HallmarkError) as error:
        verify_certificate(certificate, COMMITTEE, name)
    return error.value.reason


def test_the_message_is_walrus_own() -> None:
    """40 bytes: intent, epoch, blob ID, permanent."""
    assert confirmation_message(0x01020304, BLOB) == b"\x01\x00\x03\x04\x03\x02\x01" + BLOB + b"\0"


def test_a_quorum_certifies() -> None:
    """Five of seven nodes with 143 shards each; who reads it knows who confirmed, and how much they have."""
    certificate = certify(COMMITTEE, BLOB, confirmations(1, 3, 4, 5, 6))
    assert read_certificate(certificate.encode()) == certificate
    certified = verify_certificate(certificate, COMMITTEE, NAME)
    assert (certified.weight, certified.shards) == (715, 1000)
    assert certified.signers == ("node-1", "node-3", "node-4", "node-5", "node-6")


def test_less_than_a_quorum_does_not() -> None:
    """Four of seven are 572 shards: no certificate is made, and one that says so is refused."""
    with pytest.raises(HallmarkError) as error:
        certify(COMMITTEE, BLOB, confirmations(0, 1, 2, 3))
    assert error.value.reason == "storage_quorum_missing"
    good = certify(COMMITTEE, BLOB, confirmations(1, 3, 4, 5, 6))
    light = bls.aggregate(list(confirmations(1, 3, 4, 5).values()))
    changed = msgspec.structs.replace(good, signers=(1, 3, 4, 5), signature=hex0x(light))
    assert refused(changed) == "certificate_too_light"


def test_forged_certificates_are_refused() -> None:
    """Named signers who did not sign, signers twice, strangers, another signature, another blob."""
    good = certify(COMMITTEE, BLOB, confirmations(1, 3, 4, 5, 6))
    replace = msgspec.structs.replace
    four = list(confirmations(1, 3, 4, 5).values())
    assert refused(replace(good, signers=(0, 3, 4, 5, 6))) == "certificate_forged"
    assert refused(replace(good, signature=hex0x(bls.aggregate(four)))) == "certificate_forged"
    assert refused(replace(good, signature=hex0x(bls.aggregate([*four, four[0]])))) == "certificate_forged"
    assert refused(replace(good, signature="0x" + "00" * 96)) == "certificate_forged"
    assert refused(replace(good, signature="0xc0" + "00" * 95)) == "certificate_forged"
    for signers in ((1, 3, 4, 5, 5), (1, 3, 4, 6, 5), (-1, 3, 4, 5, 6), (1, 3, 4, 5, 7), ()):
        assert refused(replace(good, signers=signers)) == "certificate_signers"
    assert refused(good, blob_text(bytes(32))) == "certificate_of_another"
    assert refused(replace(good, epoch=2)) == "certificate_of_another"
    assert refused(replace(good, committee=hex0x(bytes(32)))) == "certificate_of_another"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff", b"[" * 9_000, b'{"format":"hallmark.certificate/2"}', bytes(20_000)]
)
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    """With one reason."""
    with pytest.raises(InvalidInput) as error:
        read_certificate(data)
    assert error.value.reason == "bad_certificate"


def test_a_confirmation_is_of_its_node() -> None:
    """Another node's signature, or one over another blob, is not counted."""
    (signature,) = confirmations(2).values()
    assert verify_confirmation(COMMITTEE, 2, BLOB, signature) == signature
    for node, identifier in ((3, BLOB), (2, bytes(32))):
        with pytest.raises(HallmarkError) as error:
            verify_confirmation(COMMITTEE, node, identifier, signature)
        assert error.value.reason == "confirmation_wrong"
