"""Packing: a directory of model files as one deterministic artifact.

An artifact is a POSIX ustar archive whose bytes depend on nothing but the names and contents of the regular
files below the directory: entries sorted by name (bytewise), mode 0644, owner 0, time 0, no directory
entries, padded to a multiple of 10,240 bytes. The same files give the same bytes, so the same blob ID, on
any machine.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hallmark.core.errors import InvalidInput

MAX_NAME: Final = 100
MAX_FILES: Final = 10_000


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """The artifact of named contents. Names are relative POSIX paths, ASCII, at most 100 characters.

    Raises InvalidInput `bad_artifact_name`, `empty_artifact`.
    """
    if not files:
        raise InvalidInput("empty_artifact", "An artifact holds at least one file.")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            _check_name(name)
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            info.mode = 0o644
            archive.addfile(info, io.BytesIO(files[name]))
    return out.getvalue()


def pack_artifact(directory: Path) -> bytes:
    """The artifact of all regular files below `directory`.

    Raises InvalidInput `bad_artifact_name`, `empty_artifact`, and `artifact_not_regular` for a link or a
    special file: what it points to would not be bound.
    """
    files = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidInput("artifact_not_regular", f"{path.name} is not a regular file.")
        if path.is_file():
            files[path.relative_to(directory).as_posix()] = path.read_bytes()
    return pack_files(files)


def read_artifact(data: bytes) -> dict[str, bytes]:
    """The files of an artifact by name, in memory; nothing is written anywhere.

    Raises InvalidInput `bad_artifact` unless packing the files again gives exactly `data`: so no links, no
    repeated names, no names that leave the directory, nothing hidden between or after the entries.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", format=tarfile.USTAR_FORMAT) as archive:
            for info in archive:
                file = archive.extractfile(info) if info.isreg() else None
                if file is None or info.name in files or len(files) == MAX_FILES:
                    raise InvalidInput("bad_artifact", "An artifact holds distinct regular files only.")
                files[info.name] = file.read()
        repacked = pack_files(files)
    except (tarfile.TarError, UnicodeError, ValueError, InvalidInput) as error:
        raise InvalidInput("bad_artifact", "The bytes are not a packed artifact.") from error
    if repacked != data:
        raise InvalidInput("bad_artifact", "The archive is not in the one form that an artifact has.")
    return files


def _check_name(name: str) -> None:
    parts = name.split("/")
    if not name.isascii() or not name.isprintable() or not 0 < len(name) <= MAX_NAME:
        raise InvalidInput("bad_artifact_name", "A file name is 1 to 100 printable ASCII characters.")
    if "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise InvalidInput("bad_artifact_name", f"{name!r} does not name a file below the directory.")
