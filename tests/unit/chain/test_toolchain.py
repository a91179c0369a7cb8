"""The chain's tools: what is found, and that nothing is done twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hallmark.core.errors import Unavailable
from hallmark.services.chain import toolchain
from hallmark.services.chain.toolchain import (
    Node,
    anvil_binary,
    find_node,
    prepare,
    prepare_x402,
    repository_root,
)

TOOL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/../calls"
case "$*" in
  *compile.mjs*) mkdir -p "$2"; echo '{}' > "$2/Anchor.json" ;;
  *ci*) mkdir -p node_modules/@foundry-rs/anvil-linux-amd64/bin
        touch node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose node and npm only write down how they were called."""
    root = tmp_path / "checkout"
    (root / "contracts").mkdir(parents=True)
    (root / "contracts" / "Anchor.sol").write_text("contract Anchor {}")
    (root / "package-lock.json").write_text("{}")
    tool = tmp_path / "bin" / "node"
    tool.parent.mkdir()
    tool.write_text(TOOL)
    tool.chmod(0o755)
    monkeypatch.setattr(toolchain, "find_node", lambda: Node(tool, (str(tool),)))
    monkeypatch.setattr(toolchain, "ANVIL_PACKAGES", dict.fromkeys(_platform(), "anvil-linux-amd64"))
    return root


def _platform() -> list[tuple[str, str]]:
    uname = os.uname()
    return [(uname.sysname, uname.machine)]


def calls(checkout: Path) -> list[str]:
    """How the tools were called so far."""
    path = checkout.parent / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_second_time_runs_nothing(checkout: Path) -> None:
    """Packages are installed and contracts compiled once; the same sources again start no process."""
    first = prepare(checkout)
    assert prepare(checkout) == first
    assert [call.split()[0] for call in calls(checkout)] == [
        "ci",
        str(checkout / "contracts" / "compile.mjs"),
    ]
    assert (first.contracts / "Anchor.json").exists()


def test_changed_contract_is_compiled_again(checkout: Path) -> None:
    """A changed source is compiled again, without installing anything."""
    prepare(checkout)
    (checkout / "contracts" / "Anchor.sol").write_text("contract Anchor { uint256 x; }")
    prepare(checkout)
    assert sum("compile.mjs" in call for call in calls(checkout)) == 2
    assert sum(call.startswith("ci") for call in calls(checkout)) == 1


def test_contracts_of_x402_are_compiled_once_when_they_are_asked_for(checkout: Path) -> None:
    """A start does not wait for them, and a second call runs nothing."""
    (checkout / "contracts" / "x402").mkdir()
    (checkout / "contracts" / "x402" / "DevPermit2.sol").write_text("contract DevPermit2 {}")
    prepare(checkout)
    before = calls(checkout)
    assert not any("contracts/x402" in call for call in before)
    folder = prepare_x402(checkout)
    assert prepare_x402(checkout) == folder
    assert calls(checkout)[len(before) :] == [
        f"{checkout}/contracts/compile.mjs {folder} {checkout}/contracts/x402"
    ]


def test_changed_lock_installs_and_compiles_again(checkout: Path) -> None:
    """Another lock file means other packages, and a compiler that may give other code."""
    prepare(checkout)
    (checkout / "package-lock.json").write_text('{"a": 1}')
    prepare(checkout)
    assert len(calls(checkout)) == 4


def test_failed_tool_leaves_no_stamp(checkout: Path) -> None:
    """A tool that fails is an error with its last words, and is tried again the next time."""
    tool = checkout.parent / "bin" / "node"
    tool.write_text("#!/bin/sh\necho first >&2\necho 'no space left' >&2\nexit 3\n")
    for _ in range(2):
        with pytest.raises(Unavailable) as error:
            prepare(checkout)
        assert error.value.reason == "npm_failed"
        assert "no space left" in error.value.message
    tool.write_text(TOOL)
    assert prepare(checkout).anvil.exists()


def test_node_of_the_wheel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without node on the PATH the one installed from PyPI is used, with its npm."""
    monkeypatch.setenv("PATH", "/nonexistent")
    node = find_node()
    assert node.node.is_file()
    assert node.npm[0] == str(node.node)
    assert Path(node.npm[1]).name == "npm-cli.js"


def test_old_node_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of the system that is too old is passed over."""
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v16.1.0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_node().node.parent != tmp_path


def test_platform_without_anvil_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where npm has no anvil and none of the pinned version is on the PATH, the hint says what helps."""
    monkeypatch.setattr(toolchain, "ANVIL_PACKAGES", {})
    (tmp_path / "anvil").write_text("#!/bin/sh\necho 'anvil Version: 1.0.0'\n")
    (tmp_path / "anvil").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Unavailable) as error:
        anvil_binary(tmp_path)
    assert error.value.reason == "no_anvil"
    (tmp_path / "anvil").write_text("#!/bin/sh\necho 'anvil Version: 1.7.1-v1.7.1'\n")
    assert anvil_binary(tmp_path) == tmp_path / "anvil"


def test_this_checkout_is_found() -> None:
    """The repository's root is found from the installed package, and names the pinned compiler."""
    package = json.loads((repository_root() / "package.json").read_text())
    assert "solc" in package["dependencies"]
