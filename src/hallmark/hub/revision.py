"""Repositories of models, as Hugging Face's tools know them: names, paths, files and immutable revisions.

A revision is a document: which files, and what each of them is (blob ID, SHA-256, length). Its commit is the
first 40 hex digits of its digest, so that a commit fixes every byte of what it names, and of the revision
before it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final

import msgspec

from hallmark.core.document import Document, Uint63
from hallmark.core.errors import Conflict, InvalidInput, NotFound, TooLarge

LARGE: Final = 4 << 20
"""A file that is longer travels as a large one (git LFS); others stand in the commit itself."""
MOST_FILES: Final = 10_000
MOST_PATH: Final = 512
MOST_TITLE: Final = 500
COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?", re.A)
_RESERVED: Final = frozenset(
    {"api", "datasets", "health", "healthz", "hf", "metrics", "spaces", "status", "v1", "v1alpha", "xet"}
)

Commit = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{40})?$(?!\n)")]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: blob ID (text), SHA-256 (hex), length in bytes, and the name that git has for it (hex): of the
    bytes themselves, or of the pointer to them where it is `large`.
    """

    blob: str
    sha256: str
    size: Uint63
    oid: str

    @property
    def large(self) -> bool:
        """Whether it travels as a large file."""
        return self.size > LARGE


class Revision(Document, frozen=True, forbid_unknown_fields=True):
    """A state of a repository (`namespace/name`), after `parent` (a commit; empty for the first), made `at`
    (unix ms) by `author` with this `title`.
    """

    TAG: ClassVar[str] = "hallmark.revision/1"

    repository: str
    parent: Commit
    title: str
    at: Uint63
    author: str
    files: dict[str, FileEntry]

    @property
    def commit(self) -> str:
        """Its name, 40 hex digits."""
        return self.digest().hex()[:40]


class Change(msgspec.Struct, frozen=True):
    """What a commit does to a path: puts a file there, or, without an entry, takes the file or the `folder`
    away.
    """

    path: str
    entry: FileEntry | None = None
    folder: bool = False


def check_repository(namespace: str, name: str) -> str:
    """The repository's id, `namespace/name`. Raises InvalidInput `bad_repository_name`."""
    for part in (namespace, name):
        odd = ".." in part or "--" in part or part.lower().endswith((".git", ".ipynb"))
        if not _NAME.fullmatch(part) or odd:
            raise InvalidInput(
                "bad_repository_name",
                "A repository is namespace/name, each of 1 to 96 letters, digits, dots, dashes, underscores.",
                "It begins and ends with a letter or digit, and has no two dots or dashes in a row.",
            )
    if namespace.lower() in _RESERVED:
        raise InvalidInput("bad_repository_name", f"{namespace} is not a namespace here.", "Take another.")
    return f"{namespace}/{name}"


def check_path(path: str) -> str:
    """The path of a file in a repository. Raises InvalidInput `bad_repository_path`."""
    parts = path.split("/")
    # A surrogate or a control character would reach file systems and terminals of whoever downloads.
    clean = path.isprintable() and "\\" not in path and unicodedata.normalize("NFC", path) == path
    if (
        not clean
        or not 0 < len(path.encode("utf-8", "replace")) <= MOST_PATH
        or any(part in ("", ".", "..") or part.lower() == ".git" or len(part) > 255 for part in parts)
    ):
        raise InvalidInput(
            "bad_repository_path",
            f"A file's path has 1 to {MOST_PATH} printable characters and stays below the repository.",
            "Use a/b/c: no empty part, no dot, no backslash, no .git.",
        )
    return path


def apply(files: Mapping[str, FileEntry], changes: Iterable[Change]) -> dict[str, FileEntry]:
    """The files after the changes, which count in their order.

    Raises NotFound `repository_file_not_found` for what is to go and is not there, Conflict
    `path_is_folder`, TooLarge `too_many_files`.
    """
    left = dict(files)
    for change in changes:
        if change.entry is not None:
            left[check_path(change.path)] = change.entry
            continue
        inside = change.path.rstrip("/") + "/"
        gone = [path for path in left if path.startswith(inside)] if change.folder else [change.path]
        if not gone or any(path not in left for path in gone):
            raise NotFound(
                "repository_file_not_found",
                "A file with this name doesn't exist in this revision.",
                "A folder is deleted with a slash behind its path.",
            )
        for path in gone:
            del left[path]
    if len(left) > MOST_FILES:
        raise TooLarge("too_many_files", f"A repository has at most {MOST_FILES} files.")
    for path in left:
        parts = path.split("/")
        if any("/".join(parts[:n]) in left for n in range(1, len(parts))):
            raise Conflict("path_is_folder", "A path would be both a file and a folder.", "Delete one first.")
    return left


def pointer(sha256: str, size: int) -> bytes:
    """What git keeps of a large file (git LFS pointer, version 1)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def git_oid(data: bytes) -> str:
    """The name that git has for a file with these bytes. It is for tools that ask for it; nothing rests on
    it, as SHA-1 is broken.
    """
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def entry_oid(sha256: str, size: int, small: bytes) -> str:
    """The `oid` of a file; `small` are its bytes where it is not large."""
    return git_oid(small if size <= LARGE else pointer(sha256, size))


def check_title(title: str) -> str:
    """A commit's title, cut to what is kept: one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    return line.encode("utf-8", "replace").decode()[:MOST_TITLE]
