"""Xorbs and shards: how Hugging Face's xet sends files (Xet protocol specification 1.1).

A file is cut into chunks where its content says so. Chunks travel packed in xorbs; a shard then says of which
chunks of which xorbs each file consists.

    chunk   version 0 (1) || packed length (3) || packing (1) || length (3) || packed bytes     little-endian
    xorb    chunks; a footer that begins with `XETBLOB` may follow, and says nothing that is needed
    shard   tag (32) || version 2 (8) || length of the footer (8) || files || bookend || xorbs || bookend
    file    xet hash (32) || flags (4) || number of terms (4) || 0 (8) || terms || verifications || SHA-256, 0
    term    xorb (32) || 0 (4) || length (4) || first chunk (4) || chunk after the last (4)

Hashes are keyed BLAKE3. As text, each 8 bytes of one are a little-endian number. What is read here is checked
against them; what a shard says of xorbs is not read at all, as the xorbs themselves were.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

import msgspec

from hallmark.core.errors import InvalidInput, VerificationFailed

CHUNK_KEY: Final = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
NODE_KEY: Final = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
RANGE_KEY: Final = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
MOST_CHUNK: Final = 128 << 10
MOST_CHUNKS: Final = 8 << 10
MOST_XORB: Final = 64 << 20
MOST_SHARD: Final = 64 << 20
HEADER: Final = 8
FOOTER: Final = b"XETBLOB"
SHARD_TAG: Final = b"HFRepoMetaData\0" + bytes(
    (85, 105, 103, 69, 106, 123, 129, 87, 131, 165, 189, 217, 92, 205, 209, 74, 169)
)
ENTRY: Final = 48
BOOKEND: Final = b"\xff" * 32
VERIFIED, DESCRIBED = 1 << 31, 1 << 30


class Term(msgspec.Struct, frozen=True):
    """Chunks [first, last) of a xorb, `length` bytes, and the hash over the hashes of these chunks."""

    xorb: bytes
    length: int
    first: int
    last: int
    verification: bytes


class ShardFile(msgspec.Struct, frozen=True):
    """A file of a shard: its SHA-256 (hex), and its terms as they stand there."""

    sha256: str
    count: int
    raw_terms: bytes
    raw_verifications: bytes

    @property
    def size(self) -> int:
        """Its length in bytes, as the terms say."""
        return sum(term.length for term in self.terms())

    def terms(self) -> Iterator[Term]:
        """What it consists of, in order."""
        for at in range(0, self.count * ENTRY, ENTRY):
            xorb, _, length, first, last = struct.unpack_from("<32s4I", self.raw_terms, at)
            yield Term(xorb, length, first, last, self.raw_verifications[at : at + 32])


def hash_text(value: bytes) -> str:
    """A hash as the protocol writes it."""
    return "".join(value[at : at + 8][::-1].hex() for at in range(0, 32, 8))


def read_hash(text: str) -> bytes:
    """A hash from its text. Raises InvalidInput `bad_xet`."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32 or value.hex() != text:
        raise bad("A hash is 64 lower-case hex digits.")
    return b"".join(value[at : at + 8][::-1] for at in range(0, 32, 8))


def keyed(key: bytes, data: bytes) -> bytes:
    """BLAKE3 with a key; 32 bytes."""
    from blake3 import blake3  # loaded when somebody sends such files

    digest: bytes = blake3(data, key=key).digest()
    return digest


def root_of(chunks: Sequence[tuple[bytes, int]]) -> bytes:
    """The hash of a xorb with chunks of these hashes and lengths.

    A tree: a node has 2 to 9 children (3 at least where more follow) and ends with the first from the third
    on whose hash, as a number, is a multiple of 4.
    """
    level = list(chunks)
    while len(level) > 1:
        above, at = list[tuple[bytes, int]](), 0
        while at < len(level):
            end = at + _cut(level[at : at + 9])
            lines = "".join(f"{hash_text(one)} : {size}\n" for one, size in level[at:end])
            above.append((keyed(NODE_KEY, lines.encode()), sum(size for _, size in level[at:end])))
            at = end
        level = above
    return level[0][0] if level else bytes(32)


def verification_of(hashes: bytes) -> bytes:
    """The hash over the hashes of chunks, joined, that a shard must name with them."""
    return keyed(RANGE_KEY, hashes)


class XorbReader:
    """Reads a xorb as it comes. `feed` gives the chunks that are complete, unpacked; `finish` checks the
    whole. Everything raises InvalidInput `bad_xet`.
    """

    def __init__(self) -> None:
        self.chunks: list[tuple[bytes, int]] = []
        """Hash and length of each chunk."""
        self.size = 0
        self._held = bytearray()
        self._received = 0
        self._footer = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The next bytes."""
        self._received += len(data)
        if self._received > MOST_XORB + (2 << 20):
            raise bad(f"A xorb has at most {MOST_XORB} bytes.")
        if self._footer:
            return
        self._held += data
        at = 0
        while len(self._held) - at >= HEADER:
            if self._held[at] != 0:
                if not self._held.startswith(FOOTER, at):
                    raise bad("A chunk begins with its version, 0.")
                self._footer = True
                self._held.clear()
                return
            packed = int.from_bytes(self._held[at + 1 : at + 4], "little")
            length = int.from_bytes(self._held[at + 5 : at + 8], "little")
            if not 0 < length <= MOST_CHUNK or packed > 2 * MOST_CHUNK:
                raise bad(f"A chunk has 1 to {MOST_CHUNK} bytes.")
            if len(self._held) - at < HEADER + packed:
                break
            start = at + HEADER
            chunk = _unpacked(bytes(self._held[start : start + packed]), self._held[at + 4], length)
            at = start + packed
            self._take(chunk)
            yield chunk
        del self._held[:at]

    def finish(self, named: bytes) -> None:
        """Everything came. Raises VerificationFailed `xorb_mismatch` as well."""
        if self._held or not self.chunks:
            raise bad("The xorb ends within a chunk, or has none.")
        if root_of(self.chunks) != named:
            raise VerificationFailed(
                "xorb_mismatch", "The chunks are not those that the xorb is named after.", "Send it again."
            )

    def _take(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if len(self.chunks) == MOST_CHUNKS or self.size > MOST_XORB + MOST_CHUNK:
            raise bad(f"A xorb has at most {MOST_CHUNKS} chunks and {MOST_XORB} bytes.")
        self.chunks.append((keyed(CHUNK_KEY, chunk), len(chunk)))


def shard_files(file: BinaryIO, size: int) -> Iterator[ShardFile]:
    """The files of a shard of `size` bytes, one by one. Raises InvalidInput `bad_xet`."""
    tag, version, _ = struct.unpack("<32sQQ", _exactly(file, ENTRY))
    if tag != SHARD_TAG or version != 2:
        raise bad("This is no shard of version 2.")
    while True:
        name, flags, count, _ = struct.unpack("<32sIIQ", _exactly(file, ENTRY))
        if name == BOOKEND:
            return
        if not flags & VERIFIED or not flags & DESCRIBED:
            raise bad("Each file of a shard has verifications and a SHA-256.")
        if not 0 < count * ENTRY <= size:
            raise bad("A file of a shard has more terms than fit in it, or none.")
        terms, verifications = _exactly(file, count * ENTRY), _exactly(file, count * ENTRY)
        # The digest is written like every hash of the protocol, as four numbers.
        digest = hash_text(_exactly(file, ENTRY)[:32])
        yield ShardFile(digest, count, terms, verifications)


def bad(message: str) -> InvalidInput:
    """The error for what is not what the protocol has."""
    return InvalidInput("bad_xet", message, "Send it with hf_xet, or set HF_HUB_DISABLE_XET=1.")


def _cut(nodes: Sequence[tuple[bytes, int]]) -> int:
    for index in range(2, len(nodes)):
        if int.from_bytes(nodes[index][0][24:], "little") % 4 == 0:
            return index + 1
    return len(nodes)


def _unpacked(data: bytes, packing: int, length: int) -> bytes:
    if packing in (1, 2):
        data = _unpacked_lz4(data, length)
    elif packing != 0:
        raise bad("A chunk is plain, packed with LZ4, or grouped by bytes and packed with LZ4.")
    if len(data) != length:
        raise bad("A chunk has another length than it says.")
    return _ungrouped(data) if packing == 2 else data


def _unpacked_lz4(data: bytes, length: int) -> bytes:
    import lz4.frame  # loaded when somebody sends such files

    try:
        reader: Any = lz4.frame.LZ4FrameDecompressor()
        unpacked: bytes = reader.decompress(data, max_length=length + 1)
    except (RuntimeError, EOFError, ValueError, MemoryError) as error:
        raise bad("A chunk cannot be unpacked.") from error
    if not reader.eof or reader.unused_data:
        raise bad("A chunk does not end where it says.")
    return unpacked


def _ungrouped(data: bytes) -> bytes:
    """The bytes in their order: first every fourth from the first on, then from the second, and so on."""
    out, at = bytearray(len(data)), 0
    for first in range(4):
        count = len(range(first, len(data), 4))
        out[first::4] = data[at : at + count]
        at += count
    return bytes(out)


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise bad("The shard is cut short.")
    return data
