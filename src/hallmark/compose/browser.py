"""Building what runs in browsers, from `web/` and the packages that package-lock.json pins."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from hallmark.core.errors import Unavailable
from hallmark.core.hashing import sha256
from hallmark.services.chain.toolchain import exclusive, find_node

SPEC: Final = ("src", "hallmark", "apps", "web", "spec")


def build_browser(root: Path) -> Path:
    """The folder of built scripts; builds unless that is done for exactly these sources.

    The npm packages must be installed (`toolchain.prepare`). Raises Unavailable `no_node`,
    `browser_build_failed`.
    """
    build = root / ".build" / "web"
    stamp = root / ".build" / "web.stamp"
    sources = _digest(root)
    stamp.parent.mkdir(exist_ok=True)
    with exclusive(root / ".build" / "web.lock"):
        if not (stamp.is_file() and stamp.read_text() == sources and build.is_dir()):
            vite = root / "node_modules" / "vite" / "bin" / "vite.js"
            argv = [str(find_node().node), str(vite), "build", "web", "--logLevel", "error"]
            done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                last = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
                raise Unavailable("browser_build_failed", "The pages' scripts cannot be built.", last[:400])
            stamp.write_text(sources)
    return build


def _digest(root: Path) -> str:
    folders = (root / "web", root.joinpath(*SPEC))
    found = (path for folder in folders for path in folder.rglob("*"))
    files = sorted(path for path in found if path.is_file() and "test" not in path.parts)
    parts = [sha256(str(path.relative_to(root)).encode(), path.read_bytes()) for path in files]
    return sha256(*parts, (root / "package-lock.json").read_bytes()).hex()
