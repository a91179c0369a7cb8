"""What goes into the enclave's image, and what stays out.

The image holds the interpreter, the part of the standard library that a server can use, the shared libraries
that these need, the distributions of `DISTRIBUTIONS` and `ENGINES` as their RECORD lists them, and the
packages of `PACKAGES`. It holds no shell, no compiler, no package manager, no test suite.

    /usr/bin/python3          the interpreter          /usr/lib/*.so*   shared libraries, flat
    /usr/lib/python3.X        standard library         /app/lib         distributions and hallmark
    /app/enclave.py           the first program        /app/serving.bpf second seccomp filter
    /dev /tmp /proc           empty: mount points
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from hallmark.core.errors import Unavailable

DISTRIBUTIONS = (
    "msgspec",
    "cryptography",
    "cffi",
    "coincurve",
    "pycryptodome",
    "cbor2",
    "uvicorn",
    "httptools",
    "h11",
    "click",
    "starlette",
    "anyio",
    "idna",
    "typing_extensions",
    "uvloop",
)
"""What every enclave needs. One with these alone passes on what upstream servers say, and runs no model."""

ENGINES: Final[Mapping[str, tuple[str, ...]]] = {
    "integer": ("numpy",),
    "onnx": ("numpy", "onnxruntime"),
    "genai": ("numpy", "onnxruntime", "onnxruntime-genai"),
    "gguf": ("numpy", "jinja2", "markupsafe", "xllamacpp"),
}
"""Engines, with the distributions that each needs on top."""

USUAL: Final = ("onnx", "genai")
"""The engines of an image for which nobody asked otherwise; "gguf" is an extra, which weighs 12 MB."""

PACKAGES = (
    "__init__.py",
    "core",
    "crypto",
    "http",
    "hub",
    "attestation",
    "engines",
    "ledger/__init__.py",
    "ledger/merkle.py",
    "payments",
    "privacy",
    "services/__init__.py",
    "services/enclave",
    "services/sealing/__init__.py",
    "services/sealing/inner.py",
    "services/sealing/keys.py",
    "services/sealing/outer.py",
    "services/sealing/replays.py",
    "services/sealing/server.py",
)
"""Parts of `hallmark` that an enclave runs. The emulated security module stays outside: see `_LEFT_OUT`."""

_LEFT_OUT = re.compile(
    r"""
    (^|/)__pycache__/ | \.(pyi|pyx|pxd|h|hpp|c|cpp|a|f90|lib|dll|pdb)$ | (^|/)tests?/ | \.dist-info/
    | ^hallmark/attestation/emulator
    | ^\.\./ | ^uvloop/_testbase | ^click/testing
    | ^numpy/(f2py|distutils|testing/_private|_pyinstaller|_core/include|_core/lib|random/lib)/
    | ^numpy/_core/_simd\. | ^numpy/random/ | ^numpy\.libs/\.\.
    | ^onnxruntime/(tools|quantization|transformers|backend|datasets)/ | ^onnxruntime_genai/models/
    | ThirdPartyNotices | ^onnxruntime/(LICENSE|Privacy)
    | ^Crypto/(Cipher|IO|Math|Protocol|PublicKey|Random|SelfTest|Signature)/
    | ^cffi/.*\.(py|so)$ | ^(pycparser|_pytest)/
    | ^anyio/(pytest_plugin|_backends/_trio)\.py
    """,
    re.VERBOSE,
)

_STDLIB_LEFT_OUT = re.compile(
    r"""
    (^|/)__pycache__/ | ^(test|idlelib|tkinter|turtledemo|lib2to3|ensurepip|distutils|pydoc_data|venv)/
    | ^(config-|sqlite3/|curses/|dbm/|msilib/|xmlrpc/|wsgiref/|site-packages/|dist-packages/)
    | (^|/)tests?/ | ^(turtle|pydoc|antigravity|this|cgi|cgitb|smtpd|pdb|doctest|webbrowser)\.py$
    | \.(exe|bat|txt)$ | ^LICENSE
    | ^lib-dynload/(_test|_tkinter|_curses|_sqlite3|_dbm|_gdbm|_xxtest|_ctypes_test|_codecs_|xxlimited
                    |audioop|nis|ossaudiodev|readline|termios|_crypt|_lsprof|_xxsub|_multiprocessing)
    """,
    re.VERBOSE,
)


def collect(package_root: Path, engines: Collection[str] = USUAL) -> dict[str, Path]:
    """Every file of the image that is copied as it is: path inside the image to path here.

    `package_root` is the directory of the `hallmark` package, `engines` those whose models it can
    run. Raises Unavailable `image_source_missing`.
    """
    files: dict[str, Path] = {}
    for inside, source in _interpreter():
        files[inside] = source
    for name in dict.fromkeys((*DISTRIBUTIONS, *(name for engine in engines for name in ENGINES[engine]))):
        for inside, source in _distribution(name):
            files[f"app/lib/{inside}"] = source
    for inside, source in _packages(package_root):
        files[f"app/lib/hallmark/{inside}"] = source
    files |= _shared_libraries(files)
    return dict(sorted(files.items()))


def _interpreter() -> Iterator[tuple[str, Path]]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    yield "usr/bin/python3", Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    stdlib = Path(sysconfig.get_path("stdlib"))
    for source in sorted(stdlib.rglob("*")):
        inside = source.relative_to(stdlib).as_posix()
        if source.is_file() and not _STDLIB_LEFT_OUT.search(inside):
            yield f"usr/lib/{version}/{inside}", source


def _distribution(name: str) -> Iterator[tuple[str, Path]]:
    try:
        listed = importlib.metadata.distribution(name).files
    except importlib.metadata.PackageNotFoundError:
        listed = None
    if not listed:
        raise Unavailable(
            "image_source_missing", f"The distribution {name} is not installed.", "Run ./hallmark once."
        )
    for entry in listed:
        inside = entry.as_posix()
        source = Path(str(entry.locate()))
        if not _LEFT_OUT.search(inside) and source.is_file():
            yield inside, source


def _packages(package_root: Path) -> Iterator[tuple[str, Path]]:
    for part in PACKAGES:
        top = package_root / part
        for source in [top] if top.is_file() else sorted(top.rglob("*.py")):
            inside = source.relative_to(package_root).as_posix()
            if not _LEFT_OUT.search(f"hallmark/{inside}"):
                yield inside, source


def _shared_libraries(files: Mapping[str, Path]) -> dict[str, Path]:
    """Libraries that the loader takes from the system, flat under usr/lib; the loader at its own path."""
    objects = [
        str(path) for inside, path in files.items() if ".so" in path.name or inside == "usr/bin/python3"
    ]
    listing = subprocess.run(["ldd", *objects], capture_output=True, text=True, check=False).stdout
    ours = {str(path.resolve()) for path in files.values()}
    found: dict[str, Path] = {}
    for line in listing.splitlines():
        match = re.match(r"\s+(\S+)(?: => (\S+))? \(0x", line)
        if match is None:
            continue
        wanted, place = match.group(1), match.group(2) or match.group(1)
        if not place.startswith("/") or str(Path(place).resolve()) in ours:
            continue
        loader = wanted.startswith("/")
        found[wanted.lstrip("/") if loader else f"usr/lib/{wanted}"] = Path(place).resolve()
    if not found:
        raise Unavailable("image_source_missing", "ldd named no shared library of the interpreter.")
    return found
