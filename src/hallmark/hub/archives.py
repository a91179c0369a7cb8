"""Zip archives, looked into without unpacking them: the list of files, and the first bytes of each.

Of no file more than `HEAD` bytes are ever unpacked, so what an archive claims to hold costs nothing here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from hallmark.core.errors import InvalidInput

HEAD: Final = 64 << 10
MOST_DIRECTORY: Final = 16 << 20
MOST_ENTRIES: Final = 10_000
BEGINNING: Final = b"PK\x03\x04"
END: Final = b"PK\x05\x06"
ENTRY: Final = b"PK\x01\x02"
LONGEST_END: Final = 22 + 0xFFFF
FULL: Final = 0xFFFFFFFF
STORED: Final = 0
DEFLATED: Final = 8
MANY_TIMES: Final = 200
"""An archive that unpacks to more than so many times its own length, and to more than `HARMLESS` bytes, is
made to fill memory or disk. Deflate packs at most 1,032 times; weights do not come near to 200.
"""
HARMLESS: Final = 16 << 20


class Packed(msgspec.Struct, frozen=True):
    """A file in an archive: its name, how it is packed, lengths in bytes, and where its own header begins."""

    name: str
    method: int
    packed: int
    size: int
    at: int


def packed_files(file: BinaryIO, size: int) -> list[Packed] | None:
    """What a zip archive lists; None where there is no such list that can be read."""
    file.seek(max(size - LONGEST_END, 0))
    tail = file.read(LONGEST_END)
    at = tail.rfind(END)
    if at < 0 or at + 22 > len(tail):
        return None
    end = max(size - LONGEST_END, 0) + at
    length, start = struct.unpack_from("<II", tail, at + 12)
    if FULL in (length, start):
        found = _list64(file, size, end)
        if found is None:
            return None
        length, start = found
    # What is put in front of an archive moves its list; as readers do, count back from the end.
    for begin in (start, end - length):
        if 0 <= begin <= size and length <= MOST_DIRECTORY:
            file.seek(begin)
            listed = _listed(file.read(length), begin - start)
            if listed:
                return listed
    return [] if length == 0 else None


def check_archive(files: list[Packed], size: int) -> None:
    """Raises InvalidInput `zip_bomb`, and `bad_archive` for more files than are looked at."""
    if len(files) > MOST_ENTRIES:
        raise bad_archive(f"A zip archive has over {MOST_ENTRIES} files.")
    whole = sum(one.size for one in files)
    if whole > HARMLESS and whole > MANY_TIMES * size:
        raise InvalidInput(
            "zip_bomb",
            f"A zip archive of {size:,} bytes unpacks to {whole:,}.",
            "Publish the files themselves, not an archive.",
        )


def heads(file: BinaryIO, files: list[Packed]) -> Iterator[bytes]:
    """The first bytes of each file. Raises InvalidInput `bad_archive` for one that cannot be looked into."""
    for one in files:
        file.seek(one.at)
        header = file.read(30)
        if one.at < 0 or len(header) < 30 or not header.startswith(BEGINNING):
            raise bad_archive("A file in a zip archive is not where the list says.")
        name, extra = struct.unpack_from("<HH", header, 26)
        file.seek(one.at + 30 + name + extra)
        if one.method == STORED:
            yield file.read(min(one.size, HEAD))
        elif one.method == DEFLATED:
            yield _inflated(file.read(min(one.packed, HEAD)))
        else:
            raise bad_archive("A file in a zip archive is packed in a way that is not looked into.")


def bad_archive(message: str) -> InvalidInput:
    """The error for an archive that cannot be examined."""
    return InvalidInput("bad_archive", message, "Publish the files themselves, not an archive.")


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, HEAD)
    except zlib.error as error:
        raise bad_archive("A file in a zip archive cannot be unpacked.") from error


def _list64(file: BinaryIO, size: int, end: int) -> tuple[int, int] | None:
    """Length and start of the list, from the records of a large archive before `end`."""
    file.seek(max(end - 20, 0))
    locator = file.read(20)
    if len(locator) < 20 or not locator.startswith(b"PK\x06\x07"):
        return None
    (offset,) = struct.unpack_from("<Q", locator, 8)
    if offset + 56 > size:
        return None
    file.seek(offset)
    record = file.read(56)
    if not record.startswith(b"PK\x06\x06"):
        return None
    length, start = struct.unpack_from("<QQ", record, 40)
    return length, start


def _listed(directory: bytes, moved: int) -> list[Packed]:
    found, at = list[Packed](), 0
    while directory[at : at + 4] == ENTRY and at + 46 <= len(directory):
        method, packed, size = struct.unpack_from("<10xH8xII", directory, at)
        name, extra, comment, begin = struct.unpack_from("<HHH8xI", directory, at + 28)
        text = directory[at + 46 : at + 46 + name].decode("utf-8", "replace")
        large = _large(directory[at + 46 + name : at + 46 + name + extra])
        size, packed, begin = (
            large.pop(0) if value == FULL and large else value for value in (size, packed, begin)
        )
        found.append(Packed(text, method, packed, size, begin + moved))
        at += 46 + name + extra + comment
    return found


def _large(extra: bytes) -> list[int]:
    """The numbers over 32 bits of an entry (APPNOTE 4.5.3), in their order."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            data = extra[at + 4 : at + 4 + min(length, 24)]
            return [int.from_bytes(data[n : n + 8], "little") for n in range(0, len(data) - 7, 8)]
        at += 4 + length
    return []
