"""Records of stored blobs."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import VerificationFailed
from hallmark.hub.record import CHUNK, BlobRecord, Summary, read_record, verify_chunk

IDENTIFIER = bytes(range(32))
DATA = bytes(range(256)) * 10_000


def record_of(data: bytes, cut: int = 70_000) -> BlobRecord:
    """The record of data that came in pieces."""
    summary = Summary()
    for at in range(0, len(data), cut):
        summary.update(data[at : at + cut])
    return summary.record(IDENTIFIER)


@pytest.mark.parametrize("cut", [1 << 14, 70_000, CHUNK, CHUNK + 1, len(DATA)])
def test_pieces_do_not_matter(cut: int) -> None:
    """However the bytes came, digests are those of the whole and of every mebibyte."""
    record = record_of(DATA, cut)
    assert record.sha256 == hashlib.sha256(DATA).hexdigest()
    assert record.chunks == tuple(
        hashlib.sha256(DATA[at : at + CHUNK]).hexdigest() for at in range(0, len(DATA), CHUNK)
    )
    assert read_record(record.encode(), record.blob_id) == record


def test_an_empty_blob_has_no_chunk() -> None:
    """Nothing to check, nothing to read."""
    record = record_of(b"")
    assert record.chunks == ()
    assert list(record.pieces(0, 0)) == []


@given(st.integers(0, len(DATA)), st.integers(0, len(DATA)))
def test_pieces_cover_a_range(one: int, other: int) -> None:
    """The chunks of a range are in order, without gaps, and hold all of it and nothing that is beside it."""
    start, end = sorted((one, other))
    pieces = list(record_of(DATA, len(DATA)).pieces(start, end)) if end > start else []
    joined = b"".join(DATA[offset : offset + length] for offset, length, _ in pieces)
    if pieces:
        first = pieces[0][0]
        assert joined[start - first : end - first] == DATA[start:end]
        assert start - first < CHUNK
        assert first + len(joined) - end < CHUNK


@pytest.mark.parametrize(
    "change",
    [
        {"format": "hallmark.blob/2"},
        {"size": -1},
        {"chunk": 0},
        {"chunks": ()},
        {"blob_id": "A" * 43},
        {"blob_id": "short"},
    ],
)
def test_what_is_no_record_of_this_blob_is_damage(change: dict[str, object]) -> None:
    """Another blob's record, one that does not add up, or another format is not believed."""
    record = record_of(DATA, len(DATA))
    changed = msgspec.structs.replace(record, **change)
    with pytest.raises(VerificationFailed) as error:
        read_record(changed.encode(), record.blob_id)
    assert error.value.reason == "blob_record_damaged"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"{}"])
def test_other_bytes_are_damage(data: bytes) -> None:
    """What is no JSON of a record has the same reason."""
    with pytest.raises(VerificationFailed):
        read_record(data, "A" * 43)


def test_a_chunk_is_what_its_digest_says() -> None:
    """A changed byte and a missing one are seen."""
    digest = hashlib.sha256(b"chunk").hexdigest()
    assert verify_chunk(b"chunk", 5, digest) == b"chunk"
    for wrong, length in ((b"chunk", 6), (b"chunk ", 5), (b"Chunk", 5)):
        with pytest.raises(VerificationFailed):
            verify_chunk(wrong, length, digest)
