"""A commit as Hugging Face's tools send it: JSON, one line each for the header and for every operation."""

from __future__ import annotations

import binascii
import re
from typing import Final, TypeAlias

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.hub.revision import LARGE, check_path

MOST_LINE: Final = LARGE * 4 // 3 + (64 << 10)
"""A line has no more bytes."""
DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Header(msgspec.Struct, frozen=True):
    """Title of the commit, and the commit that its author saw last."""

    summary: str = ""
    parentCommit: str | None = None


class Small(msgspec.Struct, frozen=True):
    """A file whose bytes are here."""

    path: str
    data: bytes


class Large(msgspec.Struct, frozen=True):
    """A file whose bytes were sent before: SHA-256 in hex, and length where it is said."""

    path: str
    sha256: str
    size: int | None


class Deleted(msgspec.Struct, frozen=True):
    """A file or a folder that goes."""

    path: str
    folder: bool


Operation: TypeAlias = Header | Small | Large | Deleted


class _Line(msgspec.Struct):
    key: str
    value: msgspec.Raw


class _File(msgspec.Struct):
    path: str
    content: str
    encoding: str = "utf-8"


class _LargeFile(msgspec.Struct):
    path: str
    oid: str
    algo: str = "sha256"
    size: int | None = None


class _Path(msgspec.Struct):
    path: str


def read_line(line: bytes) -> Operation:
    """What a line says. Raises InvalidInput `bad_commit`, `bad_repository_path`."""
    try:
        outer = msgspec.json.decode(line, type=_Line)
        match outer.key:
            case "header":
                return msgspec.json.decode(outer.value, type=Header)
            case "file":
                return _small(msgspec.json.decode(outer.value, type=_File))
            case "lfsFile":
                return _large(msgspec.json.decode(outer.value, type=_LargeFile))
            case "deletedFile" | "deletedFolder":
                path = msgspec.json.decode(outer.value, type=_Path).path
                folder = outer.key == "deletedFolder"
                return Deleted(check_path(path.rstrip("/") if folder else path), folder)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_commit("A line of the commit is not what it must be.") from error
    raise bad_commit("A commit has the lines header, file, lfsFile, deletedFile and deletedFolder.")


def bad_commit(message: str) -> InvalidInput:
    """The error for a commit that cannot be read."""
    return InvalidInput("bad_commit", message, "Send it with huggingface_hub; see docs/hub.md.")


def _small(file: _File) -> Small:
    if file.encoding == "base64":
        try:
            data = binascii.a2b_base64(file.content.encode("ascii"), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise bad_commit("The content of a file is not base64.") from error
    elif file.encoding == "utf-8":
        data = file.content.encode("utf-8", "replace")
    else:
        raise bad_commit("The content of a file is base64 or utf-8.")
    if len(data) > LARGE:
        raise bad_commit(f"A file of over {LARGE} bytes is sent before the commit, as a large one.")
    return Small(check_path(file.path), data)


def _large(file: _LargeFile) -> Large:
    if file.algo != "sha256" or not DIGEST.fullmatch(file.oid):
        raise bad_commit("A large file is named by its SHA-256, in hex.")
    if file.size is not None and file.size < 0:
        raise bad_commit("No file has a length below zero.")
    return Large(check_path(file.path), file.oid, file.size)
