"""What npm may install: exact versions, known licences, no address of any registry."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
# memorystream 0.3.1 states MIT in the old `licenses` field, which npm does not copy into the lock.
STATED_ELSEWHERE = {"node_modules/memorystream": "MIT"}
LICENCES = {
    "MIT",
    "ISC",
    "Apache-2.0",
    "MIT OR Apache-2.0",
    "(MPL-2.0 OR Apache-2.0)",
    "BSD-3-Clause",
    "0BSD",
}
# File-level copyleft of tools that build or test, of which nothing is shipped: the minifier of stylesheets
# inside Vite, and the accessibility checks.
TOOLS = re.compile(r"node_modules/(axe-core|lightningcss(-[a-z0-9-]+)?)")


def lock() -> dict[str, dict[str, Any]]:
    """The locked packages by folder; the project itself is the empty name."""
    packages: dict[str, dict[str, Any]] = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    return packages


def test_versions_are_exact() -> None:
    """package.json names one version of each package."""
    package = json.loads((ROOT / "package.json").read_text())
    wanted = package["dependencies"] | package["optionalDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert {lock()[f"node_modules/{name}"]["version"] for name in wanted} == set(wanted.values())


def test_every_package_is_pinned_by_digest() -> None:
    """Each locked package has a SHA-512 digest and no address to take it from."""
    for name, package in lock().items():
        if name:
            assert package["integrity"].startswith("sha512-"), name
            assert "resolved" not in package, name


def test_licences_are_permissive() -> None:
    """Each package's licence is one that an Apache-2.0 project may use."""
    stated = {name: package.get("license", STATED_ELSEWHERE.get(name)) for name, package in lock().items()}
    other = {name: licence for name, licence in stated.items() if licence not in LICENCES}
    assert {name: licence for name, licence in other.items() if not TOOLS.fullmatch(name)} == {}
    assert set(other.values()) <= {"MPL-2.0"}
