"""Builds the enclave's image: the same inputs give the same bytes.

    squashfs            padded to 4096 bytes: the files of `contents.collect`, byte-compiled, libraries cut
                        to what is loaded of them (`elf.py`), times 0, owner 0; of Python files the byte code
                        alone, but for hallmark's own, whose text stays readable beside it
    manifest            one line a file: SHA-256 hex, octal mode, size, path; sorted by path; LF
    trailer, 24 bytes   "HALLMARK" || u64be length of squashfs || u64be length of manifest

The kernel mounts the file as it is (squashfs ignores what follows it). `.pyc` files are `unchecked-hash`, so
neither times nor paths of this machine enter them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.services.node import image_contents, seccomp
from hallmark.services.node.elf import loadable

MAGIC: Final = b"HALLMARK"
TRAILER: Final = struct.Struct(">8sQQ")
COMPRESSION: Final = ("-comp", "zstd", "-Xcompression-level", "9", "-b", "256K")
FORMAT: Final = "6"
READABLE: Final = "app/lib/hallmark/"

_FIRST_PROGRAM = """\
import gc
import sys
gc.disable()  # until everything is loaded, see boot.py
sys.path.append("/app/lib")
from hallmark.services.enclave.boot import main
main()
"""

_COMPILE = """\
import json, py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for path, cfile, name in json.load(sys.stdin):
    py_compile.compile(path, cfile, name, doraise=True, invalidation_mode=mode)
"""


class Layout(msgspec.Struct, frozen=True):
    """Where the parts of an image file are: byte lengths, in order from offset 0."""

    squashfs: int
    manifest: int


def build(
    cache: Path,
    *,
    overlay: Mapping[str, Path] | None = None,
    engines: Collection[str] = image_contents.USUAL,
) -> Path:
    """Build the image of this installation into `cache`, or find it there; returns its path.

    `engines` are those whose models it can run; each selection is an image of its own, with its own hash.
    `overlay` replaces or adds files (path inside the image to source); tests use it to put probes inside.
    Raises Unavailable `image_tool_missing`, `image_source_missing`, `image_build_failed`.
    """
    files = image_contents.collect(Path(__file__).resolve().parents[2], engines) | dict(overlay or {})
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"enclave-{_content_key(files)}.img"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(prefix=".build-", dir=cache) as scratch:
        draft = Path(scratch) / "image"
        write_image(files, Path(scratch) / "root", draft)
        os.replace(draft, target)
    return target


def write_image(files: Mapping[str, Path], stage: Path, target: Path) -> None:
    """Stage `files`, compile them and write the image to `target`. Errors as `build`."""
    tool = shutil.which("mksquashfs")
    if tool is None:
        raise Unavailable("image_tool_missing", "mksquashfs is missing.", "apt-get install squashfs-tools")
    _stage(files, stage)
    command = [tool, str(stage), str(target), "-noappend", "-all-root", "-mkfs-time", "0", "-all-time", "0"]
    command += ["-no-xattrs", "-no-exports", "-no-progress", "-quiet", "-processors", "2", *COMPRESSION]
    _checked(command, "mksquashfs")
    manifest = manifest_of(stage)
    with target.open("ab") as out:
        squashfs = out.tell()
        out.write(manifest)
        out.write(TRAILER.pack(MAGIC, squashfs, len(manifest)))
        out.flush()
        os.fsync(out.fileno())


def manifest_of(root: Path) -> bytes:
    """The manifest's exact bytes for a directory tree."""
    lines = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        data = path.read_bytes()
        mode = path.stat().st_mode & 0o777
        lines.append(
            f"{hashlib.sha256(data).hexdigest()} {mode:o} {len(data)} {path.relative_to(root).as_posix()}\n"
        )
    return "".join(sorted(lines, key=lambda line: line.split(" ", 3)[3])).encode()


def layout_of(tail: bytes, size: int) -> Layout:
    """Read the trailer (the last 24 of `size` bytes). Raises InvalidInput `bad_image`."""
    try:
        magic, squashfs, manifest = TRAILER.unpack(tail)
    except struct.error as error:
        raise InvalidInput("bad_image", "The file is too short for an enclave image.") from error
    if magic != MAGIC or squashfs + manifest + TRAILER.size != size:
        raise InvalidInput("bad_image", "The file is not an enclave image.")
    return Layout(squashfs, manifest)


def application_lines(manifest: bytes) -> bytes:
    """The manifest's lines for /app: the application layer that PCR2 measures."""
    lines = manifest.splitlines(keepends=True)
    return b"".join(line for line in lines if line.split(b" ", 3)[3].startswith(b"app/"))


def _content_key(files: Mapping[str, Path]) -> str:
    """Names the inputs cheaply: distributions by path, size and time; our own code by content."""
    state = hashlib.sha256(f"{FORMAT}\0{sys.version}\0{COMPRESSION}".encode())
    state.update(seccomp.serving_program() + seccomp.serving_program(vsock=True))
    for inside, source in sorted(files.items()):
        status = source.stat()
        own = inside.startswith("app/lib/hallmark/")
        mark = hashlib.sha256(source.read_bytes()).hexdigest() if own else str(status.st_mtime_ns)
        state.update(f"{inside}\0{source}\0{status.st_size}\0{mark}\n".encode())
    return state.hexdigest()[:32]


def _stage(files: Mapping[str, Path], stage: Path) -> None:
    for directory in ("dev", "tmp", "proc", "app"):
        (stage / directory).mkdir(parents=True)
    sources = []
    for inside, source in files.items():
        place = stage / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(loadable(source.read_bytes()))
        if place.suffix == ".py":
            sources.append(inside)
    (stage / "app/enclave.py").write_text(_FIRST_PROGRAM)
    (stage / "app/serving.bpf").write_bytes(seccomp.serving_program())
    (stage / "app/serving-vsock.bpf").write_bytes(seccomp.serving_program(vsock=True))
    for device in ("null", "urandom"):
        (stage / "dev" / device).touch()
    _compile(stage, sources)
    for path in stage.rglob("*"):
        executable = path.is_dir() or path.parent.name in ("bin", "lib64") or ".so" in path.name
        path.chmod(0o555 if executable else 0o444)
    stage.chmod(0o555)


def _compile(stage: Path, sources: list[str]) -> None:
    """Byte-compile in fresh interpreters with fixed hash seeds: marshal output depends on both."""
    tag = sys.implementation.cache_tag
    work = []
    for inside in sorted(sources):
        place = stage / inside
        cached = place.parent / "__pycache__" / f"{place.stem}.{tag}.pyc"
        code = cached if inside.startswith(READABLE) else place.with_suffix(".pyc")
        work.append((str(place), str(code), f"/{inside}"))
    base = getattr(sys, "_base_executable", sys.executable)
    running = []
    for part in (work[::2], work[1::2]):
        process = subprocess.Popen(
            [base, "-S", "-B", "-c", _COMPILE],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONHASHSEED": "0"},
        )
        running.append((process, json.dumps(part).encode()))
    for process, job in running:
        _, complaint = process.communicate(job)
        if process.returncode:
            raise Unavailable("image_build_failed", f"Compiling failed: {complaint.decode()[-300:]}")
    for inside in sources:
        if not inside.startswith(READABLE):
            (stage / inside).unlink()


def _checked(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable("image_build_failed", f"{name} failed: {done.stderr.strip()[-300:]}")
