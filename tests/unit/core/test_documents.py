"""Canonical documents: exact bytes, no floats, no second form."""

from __future__ import annotations

import pytest

from hallmark.core.document import digest_of, report_data, unhex
from hallmark.core.documents import AttestationPolicy, KeyBundle, Manifest, Parameters
from hallmark.core.errors import InvalidInput
from hallmark.core.evidence import Evidence

PARAMETERS = Parameters(task="chat", max_tokens=5, stop=("\n",))


def test_a_document_reads_back_from_its_exact_bytes() -> None:
    """Encoding is deterministic and decoding gives the same document and digest."""
    data = PARAMETERS.encode()
    assert Parameters.decode(data) == PARAMETERS
    assert digest_of(Parameters, data) == PARAMETERS.digest()
    policy = AttestationPolicy("a", 1, ("b",), {"z": (), "a": ()}, 1, 1)
    assert AttestationPolicy.decode(policy.encode()) == policy


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.replace(b'"chat"', b' "chat"'),
        lambda d: d + b"\n",
        lambda d: d[:-1] + b',"unknown":1}',
        lambda d: d.replace(b'"max_tokens":5', b'"max_tokens":5.0'),
        lambda d: d.replace(b'"max_tokens":5,', b'"max_tokens":4,"max_tokens":5,'),
        lambda d: d.replace(b"{", b"[", 1),
        lambda d: b"\xff" + d,
        lambda d: d.replace(b'"chat"', b'"\\u0063hat"'),
    ],
)
def test_every_other_form_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    """White space, unknown fields, floats, duplicate keys, escapes and damage are refused."""
    with pytest.raises(InvalidInput):
        Parameters.decode(change(PARAMETERS.encode()))


def test_documents_of_different_kinds_never_share_a_digest() -> None:
    """The tag separates domains, and evidence binds another hash than statements do."""
    data = PARAMETERS.encode()
    assert digest_of(Parameters, data) != digest_of(Manifest, data)
    assert len(report_data(KeyBundle, data)) == 64
    assert report_data(KeyBundle, data)[:32] != digest_of(KeyBundle, data)


def test_no_float_is_ever_signed() -> None:
    """A float anywhere inside raises."""
    with pytest.raises(InvalidInput) as caught:
        Parameters(task="chat", temperature=0.5).encode()  # type: ignore[arg-type]
    assert caught.value.reason == "float_in_document"


def test_evidence_encoding_is_exact() -> None:
    """Evidence reads back; truncated or extended bytes are refused."""
    evidence = Evidence("nitro-dev", b"document", b"collateral")
    raw = evidence.encode()
    assert Evidence.decode(raw) == evidence
    for bad in (raw[:-1], raw + b"x", b"", raw[1:]):
        with pytest.raises(InvalidInput):
            Evidence.decode(bad)
    with pytest.raises(InvalidInput):
        unhex("12")
