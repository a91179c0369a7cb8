"""What a published artifact says of its own files, and how a label's owner is known to a hub.

`files.json` stands in the artifact, beside the files that it lists, so the owner's signature on the version
(`hub.manifest`) is one on every file's blob ID, SHA-256 and length.
"""

from __future__ import annotations

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256

FORMAT = "hallmark/files/v1"


class NamedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: blob ID (text), SHA-256 (hex), length in bytes."""

    blob: str
    sha256: str
    size: int


class FileList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every other file of an artifact by its path."""

    files: dict[str, NamedFile]
    format: str = FORMAT

    def encode(self) -> bytes:
        """The file's bytes: the same for the same list."""
        listed = {name: self.files[name] for name in sorted(self.files)}
        text = msgspec.json.encode(msgspec.structs.replace(self, files=listed), order="deterministic")
        return msgspec.json.format(text, indent=2) + b"\n"


def read_file_list(data: bytes) -> FileList:
    """The list in a `files.json`. Raises InvalidInput `bad_file_list`."""
    try:
        found = msgspec.json.decode(data, type=FileList)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("bad_file_list", "The artifact's files.json cannot be read.") from error
    if found.format != FORMAT:
        raise InvalidInput("bad_file_list", "The artifact's files.json is of another format.")
    return found


def hub_secret(secret: bytes) -> str:
    """What an owner's key (32 bytes) shows to hubs, so that namespace and label have one owner. The key
    itself cannot be found from it.
    """
    return sha256(b"hallmark/hub-key/v1\0", secret).hex()
