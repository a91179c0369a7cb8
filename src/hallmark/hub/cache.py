"""A cache of blob IDs by SHA-256, kept as a small JSON file beside the data.

Computing a blob ID takes about 2 s, hashing the same bytes with SHA-256 some milliseconds, so `identify`
hashes always and encodes once. Trusting a cached pair means trusting that nobody who can write the file
lied about which blob ID belongs to a digest. What is loaded stays bound either way: the SHA-256 is computed
from the bytes at hand, never read from the cache, and an enclave compares it with the signed manifest.
Whoever publishes, and every full node that judges a publication, must use `verify=True`, which ignores the
cache's answer and raises when it was wrong.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.blob_ids import blob_text, parse_blob_text
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.hub.walrus import blob_id

FORMAT: Final = "hallmark.blob-ids/1"


class Identity(msgspec.Struct, frozen=True):
    """What names a content: 32-byte blob ID, 32-byte SHA-256, length in bytes."""

    blob_id: bytes
    sha256: bytes
    size: int


class CacheFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: blob ID text (1000 shards) by SHA-256 in hex."""

    format: str
    blob_ids: dict[str, str]


class BlobIdCache:
    """Blob IDs by SHA-256 in one file. A missing, damaged or foreign file is an empty cache."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def identify(self, data: bytes, *, verify: bool = False) -> Identity:
        """The identity of `data`, from the cache where it is known.

        With `verify` the blob ID is always computed. Raises VerificationFailed `blob_id_cache_wrong` when
        the cache held another one; the file is corrected first.
        """
        digest = hashlib.sha256(data).digest()
        cached = self._read().get(digest)
        if cached is not None and not verify:
            return Identity(cached, digest, len(data))
        computed = blob_id(data)
        if cached != computed:
            self._write({**self._read(), digest: computed})
        if cached not in (None, computed):
            raise VerificationFailed(
                "blob_id_cache_wrong",
                f"{self.path.name} held a wrong blob ID.",
                "It is corrected now. Find out who wrote it, then run this again.",
            )
        return Identity(computed, digest, len(data))

    def _read(self) -> dict[bytes, bytes]:
        return read_blob_ids(self.path)

    def _write(self, pairs: dict[bytes, bytes]) -> None:
        """Replace the file in one step. A read-only place only costs the next caller its time."""
        ids = {digest.hex(): blob_text(pairs[digest]) for digest in sorted(pairs)}
        data = msgspec.json.format(msgspec.json.encode(CacheFile(FORMAT, ids)), indent=2) + b"\n"
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, delete=False) as file:
                file.write(data)
            os.replace(file.name, self.path)
        except OSError:
            return


def read_blob_ids(path: Path) -> dict[bytes, bytes]:
    """The blob IDs in such a file by SHA-256. A missing, damaged or foreign one has none."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=CacheFile)
        if file.format != FORMAT:
            return {}
        pairs = {bytes.fromhex(k): parse_blob_text(v) for k, v in file.blob_ids.items()}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, ValueError, InvalidInput):
        return {}
    return {digest: identifier for digest, identifier in pairs.items() if len(digest) == 32}
