"""The browser's code: typed, tested, built small, and without anything from elsewhere."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from hallmark.compose.browser import build_browser
from hallmark.services.chain.toolchain import find_node, prepare, repository_root

pytestmark = pytest.mark.integration

BUDGET = 200 * 1024
ELSEWHERE = re.compile(rb"https?://(?!127\.0\.0\.1|localhost)[a-z0-9.-]+")
# A namespace, and where the markdown parser asks to report its bugs: names in text, nothing is fetched.
NAMES = frozenset((b"http://www.w3.org", b"https://github.com"))


@pytest.fixture(scope="module")
def root() -> Path:
    """The checkout, with its npm packages."""
    found = repository_root()
    prepare(found)
    return found


def _run(root: Path, *arguments: str) -> None:
    done = subprocess.run([*arguments], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def test_types_hold(root: Path) -> None:
    """The type checker, in its strict mode, finds nothing."""
    _run(root, str(find_node().node), str(root / "node_modules/typescript/bin/tsc"), "-p", "web")


def test_units_pass(root: Path) -> None:
    """Every test of the pure parts passes in node."""
    tests = sorted(str(path) for path in (root / "web" / "test").glob("*.test.ts"))
    assert tests
    _run(root, str(find_node().node), "--test", *tests)


def test_bundles_are_small(root: Path) -> None:
    """The chat with everything that it loads stays below 200 KB, compressed; so does each other page."""
    built = build_browser(root)
    for entry in ("chat.js", "hallmark-marks.js", "receipt.js", "review.js", "verify.js"):
        parts = _closure(built, built / entry)
        size = sum(len(gzip.compress(path.read_bytes(), 9)) for path in parts)
        assert size < BUDGET, (entry, size)


def test_bundles_reach_nowhere_else(root: Path) -> None:
    """No bundle names another host, and none evaluates text as code."""
    for path in build_browser(root).glob("*.js"):
        data = path.read_bytes()
        found = set(ELSEWHERE.findall(data)) - NAMES
        assert not found, (path.name, found)
        assert not re.search(rb"\beval\(|new Function\(", data), path.name


def _closure(built: Path, entry: Path) -> set[Path]:
    """A script and every part that it imports."""
    seen: set[Path] = set()
    waiting = [entry]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        names = re.findall(rb"[\"'](?:\./|/assets/)([A-Za-z0-9_.-]+\.js)[\"']", path.read_bytes())
        waiting += [built / name.decode() for name in names]
    return seen
