"""Environments of other people's libraries for tests: made once for each lock file, and kept outside of the
repository (`HALLMARK_TEST_CACHE`, else the user's cache folder).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hallmark.core.hashing import sha256
from hallmark.services.chain.toolchain import exclusive, find_node


def python_of(name: str, lock: Path) -> Path:
    """The interpreter of an environment with a requirements file that has hashes."""
    folder = _folder(name, lock, sys.version)
    interpreter = folder / "bin" / "python"
    with exclusive(folder.with_suffix(".lock")):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
            install = [
                str(Path(sys.executable).parent / "uv"),
                "pip",
                "sync",
                "-q",
                "--require-hashes",
                str(lock),
            ]
            subprocess.run(install, env={**os.environ, "VIRTUAL_ENV": str(folder)}, check=True)
            (folder / "done").touch()
    return interpreter


def npm_folder_of(name: str, source: Path, options: Sequence[str] = ()) -> Path:
    """A folder with the packages of `source`'s lock file, and with the scripts of `source` beside them."""
    folder = _folder(name, source / "package-lock.json", "")
    with exclusive(folder.with_suffix(".lock")):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for file in ("package.json", "package-lock.json"):
                shutil.copy(source / file, folder)
            tools = find_node()
            install = [*tools.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *options]
            subprocess.run(install, cwd=folder, env=with_node(), check=True, capture_output=True)
            (folder / "done").touch()
        for script in source.glob("*.mjs"):
            shutil.copy(script, folder)
    return folder


def with_node() -> dict[str, str]:
    """The environment of this process, with Node.js on its path."""
    path = os.pathsep.join((str(Path(find_node().node).parent), os.environ.get("PATH", "")))
    return {**os.environ, "PATH": path}


def _folder(name: str, lock: Path, more: str) -> Path:
    given = os.environ.get("HALLMARK_TEST_CACHE")
    cache = (
        Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hallmark"
    )
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{name}-{sha256(lock.read_bytes() + more.encode()).hex()[:16]}"
