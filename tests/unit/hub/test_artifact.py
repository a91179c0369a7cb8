"""Packing of artifacts."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256
from hallmark.hub import pack_artifact, pack_files, read_artifact

FILES = {"model.onnx": b"\x08\x07", "config/genai.json": b"{}"}
NAMES = st.from_regex(r"[a-zA-Z0-9_.-]{1,12}", fullmatch=True).filter(lambda name: name not in (".", ".."))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_bytes_depend_on_names_and_contents_only(tmp_path: Path) -> None:
    """Two folders with the same files, made in another order with other times and modes, pack alike."""
    one = write(tmp_path / "one", FILES)
    two = write(tmp_path / "two", dict(reversed(FILES.items())))
    (two / "empty").mkdir()
    os.utime(two / "model.onnx", (1, 1))
    (two / "model.onnx").chmod(0o600)
    assert pack_artifact(one) == pack_artifact(two) == pack_files(FILES)


def test_known_bytes() -> None:
    """The form is pinned: this digest may never change, because every artifact id rests on it."""
    packed = pack_files(FILES)
    assert len(packed) == 10_240
    assert packed[:17] == b"config/genai.json"
    assert sha256(packed).hex() == "b02cbcf52ced9fa0756268069819134286ac411efef186b64a5340883b3850ce"


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=1500), min_size=1, max_size=5))
def test_reading_gives_back_what_was_packed(files: dict[str, bytes]) -> None:
    """Reading undoes packing."""
    assert read_artifact(pack_files(files)) == files


def test_links_are_refused(tmp_path: Path) -> None:
    """A link is refused, since what it points to would not be bound."""
    write(tmp_path, FILES)
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(InvalidInput) as error:
        pack_artifact(tmp_path)
    assert error.value.reason == "artifact_not_regular"


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a//b", "a/./b", "", "é", "x" * 101, "a\\b", "a\nb"])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    """Only plain relative names get in."""
    with pytest.raises(InvalidInput) as error:
        pack_files({name: b""})
    assert error.value.reason == "bad_artifact_name"


def test_nothing_is_no_artifact(tmp_path: Path) -> None:
    """An empty folder makes no artifact."""
    with pytest.raises(InvalidInput) as error:
        pack_artifact(tmp_path)
    assert error.value.reason == "empty_artifact"


def _with(change: Callable[[tarfile.TarInfo], None], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("model.onnx")
        info.size, info.mode = 2, 0o644
        change(info)
        archive.addfile(info, io.BytesIO(b"\x08\x07"))
    return out.getvalue()


def _set(**values: object) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        for name, value in values.items():
            setattr(info, name, value)

    return change


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a tar",
        _with(_set(mtime=1)),
        _with(_set(mode=0o755)),
        _with(_set(uid=1)),
        _with(_set(uname="root")),
        _with(_set(name="../model.onnx")),
        _with(_set(type=tarfile.SYMTYPE, linkname="x", size=0)),
        _with(_set()) + b"\0" * 512,
        _with(_set())[:-512],
        _with(_set())[:2048] + b"hidden".ljust(8192, b"\0"),
    ],
)
def test_any_other_archive_is_refused(data: bytes) -> None:
    """There is one form: metadata, links, hidden bytes or a cut make it no artifact."""
    with pytest.raises(InvalidInput) as error:
        read_artifact(data)
    assert error.value.reason == "bad_artifact"


def test_the_plain_archive_is_read() -> None:
    """The archive that the refused ones are variations of is accepted."""
    assert read_artifact(_with(_set())) == {"model.onnx": b"\x08\x07"}


def test_repeated_names_are_refused() -> None:
    """Two entries with one name are refused."""
    first = pack_files({"a": b"1"})[:1024]
    with pytest.raises(InvalidInput):
        read_artifact((first + first).ljust(10_240, b"\0"))
