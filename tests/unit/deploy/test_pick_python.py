"""The front door takes the fastest Python that fits, and never one that it could not use."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "deploy" / "pick_python.py"


@pytest.fixture(scope="module")
def picking() -> ModuleType:
    """deploy/pick_python.py, which is a script and no package."""
    spec = importlib.util.spec_from_file_location("pick_python", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pick_python"] = module
    spec.loader.exec_module(module)
    return module


def test_the_fastest_is_picked_and_of_equals_the_first(picking: ModuleType) -> None:
    """Least time wins; a difference smaller than noise leaves the order of PATH."""
    first, second, slow = (
        picking.Candidate((3, 12, 4), True, 101, "/a"),
        picking.Candidate((3, 11, 2), True, 100, "/b"),
        picking.Candidate((3, 12, 1), True, 170, "/c"),
    )
    assert picking.pick([slow, second, first], can_install=False) is second
    assert picking.pick([first, second, slow], can_install=False) is first
    assert picking.pick([], can_install=True) is None


def test_one_that_lacks_a_wheel_is_the_last_resort(picking: ModuleType) -> None:
    """However fast: a package would have to be compiled, which needs more than PyPI."""
    fast, slow = picking.Candidate((3, 13, 0), True, 50, "/a"), picking.Candidate((3, 11, 2), True, 100, "/b")
    assert picking.pick([fast, slow], can_install=False) is slow
    assert picking.pick([fast], can_install=False) is fast


def test_one_without_environments_needs_somebody_who_can_install(picking: ModuleType) -> None:
    """Debian's Python without python3-venv is of no use to who is not root, unless it is the only one."""
    bare = picking.Candidate((3, 11, 2), False, 60, "/usr/bin/python3")
    whole = picking.Candidate((3, 12, 4), True, 100, "/opt/python3")
    assert picking.pick([bare, whole], can_install=False) is whole
    assert picking.pick([bare, whole], can_install=True) is bare
    assert picking.pick([bare], can_install=False) is bare


def test_what_is_no_program_or_no_fitting_python_is_passed_over(
    picking: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that looks for a Python is not run; a program that prints nonsense is no candidate."""
    script = tmp_path / "python3"
    script.write_text("#!/bin/sh\nexec python3.12\n")
    script.chmod(0o755)
    echo = shutil.which("echo")
    assert echo is not None
    (tmp_path / "python3.12").symlink_to(echo)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = list(picking.paths())
    assert str(script) not in found
    assert found[0] == str(tmp_path / "python3.12")
    assert picking.measured(found[0]) is None
    assert picking.measured(str(tmp_path / "missing")) is None
    assert picking.measured(sys.executable).version == tuple(sys.version_info[:3])
