"""What an installed Hallmark holds."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_the_program_and_no_test_support(tmp_path: Path) -> None:
    """Every package and the files that they read, and nothing of `hallmark.testing`."""
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packages = {path.parent.name for path in (ROOT / "src" / "hallmark").glob("*/__init__.py")}
    assert "testing" in packages
    shipped = {name.split("/")[1] for name in names if name.startswith("hallmark/") and name.count("/") > 1}
    assert packages - {"testing"} <= shipped
    assert "testing" not in shipped
    templates = [name for name in names if name.endswith(".html")]
    assert templates
