"""Xorbs and shards: read, checked, and refused."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.hub.xet import (
    FOOTER,
    MOST_CHUNK,
    ShardFile,
    XorbReader,
    hash_text,
    read_hash,
    root_of,
    shard_files,
)
from hallmark.testing.xet_files import Xorb, chunk_hash, packed, shard, whole, xorb

CHUNKS = [os.urandom(9_000), b"a" * 100_001, b"ab" * 4_001, b"x", b"yz" * 17, bytes(MOST_CHUNK), b"123"]


def read(data: bytes, piece: int = 1 << 30) -> tuple[XorbReader, list[bytes]]:
    """A xorb, read in pieces."""
    reader, chunks = XorbReader(), list[bytes]()
    for at in range(0, len(data), piece):
        chunks += reader.feed(data[at : at + piece])
    return reader, chunks


def files_of(data: bytes) -> list[ShardFile]:
    """The files of a shard."""
    return list(shard_files(io.BytesIO(data), len(data)))


@pytest.mark.parametrize("footer", [b"", FOOTER + b"\1" + os.urandom(100)])
@pytest.mark.parametrize("piece", [1, 1_000, 1 << 30])
def test_a_xorb(piece: int, footer: bytes) -> None:
    """Plain, packed and grouped chunks, in pieces of any size, with a footer and without."""
    made = xorb(CHUNKS, footer)
    if piece == 1:
        made = xorb(CHUNKS[2:5], footer)
    reader, chunks = read(made.data, piece)
    reader.finish(made.hash)
    assert chunks == list(made.chunks)
    assert reader.size == sum(map(len, chunks))


def test_names_of_xorbs() -> None:
    """Text and bytes; the name of one chunk is its hash; a tree's depends on every hash, length and place."""
    value = bytes(range(32))
    assert hash_text(value) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert read_hash(hash_text(value)) == value
    for wrong in ("", "0" * 63, "G" * 64, "A" * 64, "0" * 62 + " 0"):
        with pytest.raises(InvalidInput):
            read_hash(wrong)
    leaves = [(chunk_hash(bytes((n,))), n + 1) for n in range(100)]
    assert root_of(leaves[:1]) == leaves[0][0]
    roots = {
        root_of(leaves),
        root_of(leaves[:99]),
        root_of(leaves[::-1]),
        root_of([(leaves[0][0], 9), *leaves[1:]]),
    }
    assert len(roots) == 4


def test_xorbs_that_are_refused() -> None:
    """Another name, a changed byte, a cut, an unknown packing, a length that lies, a small bomb."""
    made = xorb(CHUNKS)
    with pytest.raises(VerificationFailed) as other:
        read(made.data)[0].finish(bytes(32))
    assert other.value.reason == "xorb_mismatch"
    changed = bytearray(made.data)
    changed[100] ^= 1
    with pytest.raises(VerificationFailed):
        read(bytes(changed))[0].finish(made.hash)
    bomb = bytearray(packed(b"\0" * MOST_CHUNK, 1))
    bomb[5:8] = (100).to_bytes(3, "little")
    odd = bytearray(packed(b"abc", 0))
    odd[4] = 9
    for data in (b"", made.data[:-1], made.data + b"\0\1", bytes(bomb), bytes(odd), b"\1" + made.data, FOOTER,
                 packed(b"", 0), packed(b"abc", 0)[:-1] + b"", b"\0\5\0\0\1\3\0\0hello"):  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            read(data)[0].finish(made.hash)
        assert refused.value.reason == "bad_xet"


def test_a_shard() -> None:
    """Files with their SHA-256 and their terms."""
    one, two = xorb(CHUNKS), xorb(CHUNKS[::-1])
    digest = whole(two)[0]
    found = files_of(shard([whole(one), (digest, [(one, 1, 3), (two, 0, 7)])]))
    assert [file.sha256 for file in found] == [whole(one)[0], digest]
    assert found[0].size == sum(map(len, CHUNKS))
    terms = list(found[1].terms())
    assert [(term.xorb, term.first, term.last) for term in terms] == [(one.hash, 1, 3), (two.hash, 0, 7)]
    assert terms[0].verification == one.verification(1, 3)[:32]


def test_shards_that_are_refused() -> None:
    """No shard, another version, cut anywhere, more terms than fit, without verification."""
    data = shard([whole(xorb(CHUNKS))])
    many, bare = bytearray(data), bytearray(data)
    many[48 + 36 : 48 + 40] = b"\xff" * 4
    bare[48 + 35] = 0
    wrong = [data[: 48 * n - 1] for n in range(1, 6)]
    for one in (b"", b"x" * 48, data[:32] + b"\3" + data[33:], bytes(many), bytes(bare), *wrong):
        with pytest.raises(InvalidInput) as refused:
            files_of(one)
        assert refused.value.reason == "bad_xet"


MADE: Xorb = xorb([b"abc" * 100, b"", b"defg" * 50][::2])
SHARD = shard([whole(MADE)])


@given(st.binary(max_size=120), st.integers(0, 400), st.binary(max_size=8))
def test_any_bytes_are_read_or_refused(data: bytes, at: int, change: bytes) -> None:
    """No other library's error comes out of somebody's bytes."""
    for one in (data, MADE.data[:at] + change + MADE.data[at + len(change) :], MADE.data[:at] + data):
        try:
            read(one, 7)[0].finish(MADE.hash)
        except HallmarkError:
            continue
    for one in (data, SHARD[:at] + change + SHARD[at + len(change) :], SHARD[:at] + data):
        try:
            [list(file.terms()) for file in files_of(one)]
        except HallmarkError:
            continue
