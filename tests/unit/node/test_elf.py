"""What an image holds of a program is what is loaded of it, and it runs all the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec._core
import pytest

from hallmark.services.node.elf import HEADER, IDENT, loadable


def test_a_library_and_a_program_run_without_their_sections(tmp_path: Path) -> None:
    """A program still runs, a library still loads; both are shorter, and once is enough."""
    source = shutil.which("true")
    assert source is not None
    program = tmp_path / "true"
    program.write_bytes(loadable(Path(source).read_bytes()))
    program.chmod(0o755)
    assert subprocess.run([program], check=False).returncode == 0
    whole = Path(msgspec._core.__file__).read_bytes()
    library = loadable(whole)
    assert len(library) < len(whole)
    assert loadable(library) == library
    kept = tmp_path / "lib.so"
    kept.write_bytes(library)
    told = subprocess.run(["ldd", str(kept)], capture_output=True, text=True, check=True).stdout
    assert "libc.so" in told


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\n", IDENT, IDENT + bytes(HEADER.size), IDENT + b"\xff" * 200], ids=range(5)
)
def test_what_is_no_whole_elf_file_stays_as_it_is(data: bytes) -> None:
    """Text, short files and headers that name what is not there."""
    assert loadable(data) == data
