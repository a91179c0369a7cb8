"""Environments of stock x402 libraries for tests: one of PyPI, one of npm, made once for each of their lock
files and kept outside of the repository (`HALLMARK_TEST_CACHE`, else the user's cache folder).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from hallmark.core.hashing import sha256
from hallmark.services.chain.toolchain import exclusive, find_node, repository_root
from hallmark.testing.ports import free_port

CLIENTS: Final = repository_root() / "tests" / "integration" / "x402_clients"
PATIENCE_S: Final = 120


def python() -> Path:
    """The interpreter of an environment with `x402_clients/requirements.txt`."""
    folder = _folder("py", CLIENTS / "requirements.txt", sys.version)
    interpreter = folder / "bin" / "python"
    with exclusive(folder.with_suffix(".lock")):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
            uv, lock = str(Path(sys.executable).parent / "uv"), str(CLIENTS / "requirements.txt")
            install = [uv, "pip", "sync", "-q", "--require-hashes", lock]
            subprocess.run(install, env={**os.environ, "VIRTUAL_ENV": str(folder)}, check=True)
            (folder / "done").touch()
    return interpreter


def npm_folder() -> Path:
    """A folder with the packages of `x402_clients/package-lock.json`, and the scripts beside them."""
    folder = _folder("npm", CLIENTS / "package-lock.json", "")
    with exclusive(folder.with_suffix(".lock")):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(CLIENTS / name, folder)
            tools = find_node()
            path = os.pathsep.join((str(Path(tools.node).parent), os.environ.get("PATH", "")))
            install = [*tools.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"]
            subprocess.run(install, cwd=folder, env={**os.environ, "PATH": path}, check=True)
            (folder / "done").touch()
        for script in CLIENTS.glob("*.mjs"):
            shutil.copy(script, folder)
    return folder


def command(script: str) -> list[str]:
    """How to run `pay.py`, `shop.py`, `pay.mjs` or `shop.mjs`."""
    if script.endswith(".py"):
        return [str(python()), str(CLIENTS / script)]
    return [str(find_node().node), str(npm_folder() / script)]


def pay(script: str, folder: Path, key: bytes, rpc: str, orders: Sequence[dict[str, Any]]) -> list[Any]:
    """What became of each order, in the order of its times: `status`, `body`, `chunks`, `payment`."""
    said = folder / f"orders-{script}.json"
    said.write_text(json.dumps({"key": f"0x{key.hex()}", "rpc": rpc, "orders": list(orders)}))
    done = subprocess.run(
        [*command(script), str(said)], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return results


@contextlib.contextmanager
def shop(script: str, folder: Path, settings: dict[str, Any]) -> Iterator[str]:
    """A running shop; its URL."""
    port = free_port()
    said = folder / f"settings-{script}.json"
    said.write_text(json.dumps({**settings, "port": port}))
    with (folder / f"{script}.log").open("w") as log:
        process = subprocess.Popen([*command(script), str(said)], stdout=log, stderr=log)
        try:
            for _ in range(1_200):
                assert process.poll() is None, (folder / f"{script}.log").read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)


def _folder(name: str, lock: Path, more: str) -> Path:
    given = os.environ.get("HALLMARK_TEST_CACHE")
    cache = (
        Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hallmark"
    )
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"x402-{name}-{sha256(lock.read_bytes() + more.encode()).hex()[:16]}"
