"""The record of a stored blob: what a copy of it must be, chunk by chunk.

A blob ID takes seconds to compute and says only whether the whole is right. So whoever stores a blob
computes its ID once and writes beside it the SHA-256 of every mebibyte: a copy that was cut short or
changed is seen before the bytes at fault are handed on, and a range needs no more than its own chunks.
A record is JSON and no proof: who can write the store can write records too. `blob_id_of_file` is the proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec

from hallmark.core.blob_ids import blob_text, parse_blob_text
from hallmark.core.errors import InvalidInput, VerificationFailed

FORMAT: Final = "hallmark.blob/1"
CHUNK: Final = 1 << 20
"""Bytes of a chunk. The last one of a blob is shorter; an empty blob has none."""


class BlobRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A blob's ID (text), SHA-256 (hex), length in bytes, and the SHA-256 (hex) of each chunk of `chunk`
    bytes.
    """

    format: str
    blob_id: str
    sha256: str
    size: int
    chunk: int
    chunks: tuple[str, ...]

    def encode(self) -> bytes:
        """The bytes that are kept beside the blob."""
        return msgspec.json.encode(self)

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, str]]:
        """(offset, length, SHA-256) of every chunk that holds a byte of [start, end)."""
        if end <= start:
            return
        for index in range(start // self.chunk, (end - 1) // self.chunk + 1):
            offset = index * self.chunk
            yield offset, min(self.chunk, self.size - offset), self.chunks[index]


class Summary:
    """Reads a blob once, in pieces of any size, and knows its digests in the end."""

    def __init__(self) -> None:
        self._whole, self._chunk = hashlib.sha256(), hashlib.sha256()
        self._filled = 0
        self._chunks: list[str] = []
        self.size = 0

    def update(self, data: bytes) -> None:
        """The next bytes."""
        self._whole.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            part = view[: CHUNK - self._filled]
            self._chunk.update(part)
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled == CHUNK:
                self._close()

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what was read so far."""
        return self._whole.hexdigest()

    def record(self, identifier: bytes) -> BlobRecord:
        """The record of what was read, which has this blob ID (32 bytes). Nothing may follow."""
        if self._filled:
            self._close()
        digest = self._whole.hexdigest()
        return BlobRecord(FORMAT, blob_text(identifier), digest, self.size, CHUNK, tuple(self._chunks))

    def _close(self) -> None:
        self._chunks.append(self._chunk.hexdigest())
        self._chunk, self._filled = hashlib.sha256(), 0


def read_record(data: bytes, identifier: str) -> BlobRecord:
    """The record in these bytes, which must be of the blob with this ID.

    Raises VerificationFailed `blob_record_damaged`.
    """
    try:
        record = msgspec.json.decode(data, type=BlobRecord)
        parse_blob_text(record.blob_id)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidInput) as error:
        raise damaged_record() from error
    fits = record.chunk > 0 and len(record.chunks) == -(-record.size // record.chunk)
    if record.format != FORMAT or record.blob_id != identifier or record.size < 0 or not fits:
        raise damaged_record()
    return record


def damaged_record() -> VerificationFailed:
    """The error for a record that cannot be one."""
    return VerificationFailed(
        "blob_record_damaged",
        "The record beside a stored blob is damaged.",
        "Put the blob again: both are replaced.",
    )


def verify_chunk(data: bytes, length: int, digest: str) -> bytes:
    """`data`, when it is the chunk that a record names. Raises VerificationFailed `blob_damaged`."""
    if len(data) != length or hashlib.sha256(data).hexdigest() != digest:
        raise VerificationFailed(
            "blob_damaged",
            "A stored blob is not what was stored: its bytes were changed or are missing.",
            "Put the blob again: the copy is replaced.",
        )
    return data
