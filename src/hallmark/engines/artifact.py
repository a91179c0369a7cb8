"""A model's artifact: a tar of regular files with `model.json` among them.

Rules that reading keeps:

- the SHA-256 is taken over exactly the bytes that are read, in the one pass that reads them;
- nothing is loaded before that digest equals the expected one;
- regular files only, with plain relative names, each once; links, devices and other paths are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import tarfile
from collections.abc import Iterator
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, TooLarge, VerificationFailed

MODEL_FILE: Final = "model.json"
MAX_FILES: Final = 1024
NAME: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*/){0,4}[A-Za-z0-9_][A-Za-z0-9._-]*")
CHUNK: Final = 1 << 20

Source = bytes | memoryview


class TensorEntry(msgspec.Struct, frozen=True):
    """A tensor as model.json names it, with the range of values that the model was made for (None: any)."""

    name: str
    minimum: float | None = None
    maximum: float | None = None


class ModelFile(msgspec.Struct, frozen=True):
    """model.json: which engine reads the artifact and what it is for.

    `format` is one of `engines.LOADERS`; `task` is free text for people ("chat", "classification");
    `file` is a tensor model's graph, the GGUF file or the weights; `inputs` and `outputs` name its
    tensors in order (empty: all); `labels` names classes.
    """

    format: str
    task: str = ""
    file: str = ""
    inputs: tuple[TensorEntry, ...] = ()
    outputs: tuple[TensorEntry, ...] = ()
    labels: tuple[str, ...] = ()


class Artifact(msgspec.Struct, frozen=True):
    """A checked artifact: its model.json and its files by name."""

    model: ModelFile
    files: dict[str, bytes]


class _Hashing(io.RawIOBase):
    """A one-way reader over memory that hashes what it hands out."""

    def __init__(self, source: Source) -> None:
        self._view = memoryview(source)
        self._at = 0
        self.state = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, copied before they are hashed so that both see the same."""
        end = len(self._view) if size is None or size < 0 else min(self._at + size, len(self._view))
        part = bytes(self._view[self._at : end])
        self._at = end
        self.state.update(part)
        return part


def read_artifact(source: Source, expected_sha256: bytes) -> Artifact:
    """Read a tar, checking its 32-byte SHA-256.

    Raises VerificationFailed `artifact_digest_mismatch`, InvalidInput `bad_artifact`, TooLarge
    `bad_artifact`.
    """
    reader = _Hashing(source)
    try:
        files = dict(_regular_files(reader))
    except (tarfile.TarError, EOFError, InvalidInput) as error:
        _require_digest(reader, expected_sha256)
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput("bad_artifact", "The artifact is not a tar of regular files.") from error
    _require_digest(reader, expected_sha256)
    if MODEL_FILE not in files:
        raise InvalidInput("bad_artifact", "The artifact has no model.json.")
    try:
        return Artifact(msgspec.json.decode(files[MODEL_FILE], type=ModelFile), files)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_artifact", "The artifact's model.json cannot be read.") from error


def _regular_files(reader: _Hashing) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    with tarfile.open(fileobj=reader, mode="r|", bufsize=CHUNK) as archive:
        for member in archive:
            if not member.isreg() or not NAME.fullmatch(member.name) or member.name in seen:
                raise InvalidInput("bad_artifact", "The artifact holds something that is not a plain file.")
            if len(seen) >= MAX_FILES:
                raise TooLarge("bad_artifact", f"An artifact has at most {MAX_FILES} files.")
            seen.add(member.name)
            content = archive.extractfile(member)
            yield member.name, content.read() if content is not None else b""


def _require_digest(reader: _Hashing, expected: bytes) -> None:
    while reader.read(CHUNK):
        pass
    if not hmac.compare_digest(reader.state.digest(), expected):
        raise VerificationFailed(
            "artifact_digest_mismatch",
            "The artifact's bytes are not those that its manifest names.",
            "Fetch the artifact again; if it stays so, whoever serves it changed it.",
        )
