"""What a storage node has: of each blob one file with the metadata and the slivers of its pairs.

    blobs/Ab/AbC...                 the slivers
    blobs/Ab/AbC....certificate     the availability certificate, when somebody brought one
    damaged/                        what could not be read, the newest of each

Layout of a file of slivers:

    magic                      19      hallmark.slivers/1 and a line feed
    pairs                      2       how many, little-endian
    pair                       2 each  ascending
    metadata                   9 + 64 n
    slivers                    of each pair the primary, then the secondary

It is written whole beside its place and renamed into it, so it is there whole or not at all.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.errors import HallmarkError, NotFound, VerificationFailed
from hallmark.hub.blob_metadata import BlobMetadata, Kind, metadata_size, verify_metadata
from hallmark.hub.certificate import MOST_CERTIFICATE
from hallmark.hub.slivers import pair_size, sliver_size
from hallmark.services.hub.staging import Staging, disk, sync

MAGIC: Final = b"hallmark.slivers/1\n"
CERTIFICATE: Final = ".certificate"
REMEMBERED: Final = 64
MOST_LISTED: Final = 1000


class Held(msgspec.Struct, frozen=True):
    """What is here of a blob: its metadata, the pairs in the order of the file, where the slivers begin."""

    metadata: BlobMetadata
    pairs: tuple[int, ...]
    start: int

    def place(self, pair: int, kind: Kind) -> tuple[int, int]:
        """Offset and length of a sliver in the file. Raises NotFound `sliver_not_stored`."""
        if pair not in self.pairs:
            raise not_stored()
        shape = self.metadata.shape
        at = self.start + self.pairs.index(pair) * pair_size(shape)
        return at + (sliver_size(shape, Kind.PRIMARY) if kind is Kind.SECONDARY else 0), sliver_size(
            shape, kind
        )


class Shelf:
    """The files. `shards` is the committee's number of shards."""

    def __init__(self, folder: Path, shards: int) -> None:
        self._blobs, self._damaged, self._shards = folder / "blobs", folder / "damaged", shards
        self._known: OrderedDict[str, Held] = OrderedDict()
        with disk():
            for one in (self._blobs, self._damaged):
                one.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def held(self, identifier: str) -> Held:
        """What is here of a blob (text). Raises NotFound `sliver_not_stored`, Unavailable."""
        if identifier in self._known:
            self._known.move_to_end(identifier)
            return self._known[identifier]
        with disk():
            try:
                found = await asyncio.to_thread(self._opened, identifier)
            except VerificationFailed:
                await asyncio.to_thread(self._set_aside, identifier)
                raise not_stored() from None
        self._known[identifier] = found
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def read(self, identifier: str, held: Held, pair: int, kind: Kind) -> bytes:
        """A sliver as it is on the disk: nobody has checked it since it was written. Raises NotFound
        `sliver_not_stored`, Unavailable.
        """
        offset, length = held.place(pair, kind)
        with disk():
            return await asyncio.to_thread(self._read, identifier, offset, length)

    async def place(self, identifier: str, path: Path) -> None:
        """Rename a file of slivers, which is durable, into its place."""
        with disk():
            await asyncio.to_thread(self._place, path, self._path(identifier))
        self._known.pop(identifier, None)

    async def names(self, after: str = "", limit: int = MOST_LISTED) -> list[str]:
        """IDs (text) of what is here, in order, behind `after`."""
        with disk():
            return await asyncio.to_thread(self._names, after, limit)

    async def certificate(self, identifier: str) -> bytes:
        """A blob's certificate, unverified. Raises NotFound `certificate_not_stored`."""
        path = self._path(identifier + CERTIFICATE)
        with disk():
            try:
                return await asyncio.to_thread(path.read_bytes)
            except FileNotFoundError:
                raise NotFound("certificate_not_stored", "No certificate of this blob is here.") from None

    async def keep_certificate(self, identifier: str, data: bytes, staging: Staging) -> None:
        """Keep a blob's certificate."""
        with staging.new(MOST_CERTIFICATE) as fresh:
            await fresh.write(data)
            await fresh.finish()
            with disk():
                await asyncio.to_thread(self._place, fresh.path, self._path(identifier + CERTIFICATE))

    def _path(self, name: str) -> Path:
        return self._blobs / name[:2] / name

    def _opened(self, identifier: str) -> Held:
        try:
            with self._path(identifier).open("rb") as file:
                return read_head(file.read(self._most_head()), parse_blob_text(identifier), self._shards)
        except FileNotFoundError:
            raise not_stored() from None

    def _most_head(self) -> int:
        return len(MAGIC) + 2 + 2 * self._shards + metadata_size(self._shards)

    def _read(self, identifier: str, offset: int, length: int) -> bytes:
        try:
            with self._path(identifier).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), length, offset)
        except FileNotFoundError:
            raise not_stored() from None

    def _place(self, path: Path, place: Path) -> None:
        if not place.parent.is_dir():
            place.parent.mkdir(exist_ok=True, mode=0o700)
            sync(self._blobs)
        os.replace(path, place)
        sync(place.parent)

    def _set_aside(self, identifier: str) -> None:
        path = self._path(identifier)
        if path.exists():
            os.replace(path, self._damaged / path.name)

    def _names(self, after: str, limit: int) -> list[str]:
        found: list[str] = []
        for folder in sorted(self._blobs.iterdir()):
            if folder.name < after[:2]:
                continue
            for path in sorted(folder.iterdir()):
                if path.name > after and not path.name.endswith(CERTIFICATE):
                    found.append(path.name)
                    if len(found) == limit:
                        return found
        return found


def head_of(metadata: BlobMetadata, pairs: Sequence[int]) -> bytes:
    """What a file of slivers of these pairs, ascending, begins with."""
    return MAGIC + struct.pack(f"<H{len(pairs)}H", len(pairs), *pairs) + metadata.encode()


def read_head(data: bytes, identifier: bytes, shards: int) -> Held:
    """What a file that begins so holds. Raises VerificationFailed `slivers_damaged`."""
    try:
        (count,) = struct.unpack_from("<H", data, len(MAGIC))
        pairs = struct.unpack_from(f"<{count}H", data, len(MAGIC) + 2)
        at = len(MAGIC) + 2 + 2 * count
        start = at + metadata_size(shards)
        metadata = verify_metadata(data[at:start], identifier, shards)
    except (struct.error, HallmarkError) as error:
        raise _damaged() from error
    ascending = list(pairs) == sorted(set(pairs)) and all(pair < shards for pair in pairs)
    if not data.startswith(MAGIC) or not ascending:
        raise _damaged()
    return Held(metadata, pairs, start)


def not_stored() -> NotFound:
    """The error for what is not here."""
    return NotFound(
        "sliver_not_stored",
        "This storage node does not have that of the blob.",
        "The committee file says which node has it; a node mends what it lost by itself.",
    )


def _damaged() -> VerificationFailed:
    return VerificationFailed("slivers_damaged", "A file of slivers is damaged. It was set aside.")
