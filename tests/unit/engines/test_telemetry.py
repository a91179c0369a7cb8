"""What libraries of engines keep of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_engines_write_nothing_as_they_load(tmp_path: Path) -> None:
    """No device id and no telemetry database, in no folder that a process without settings would use."""
    code = "import hallmark.engines.onnx, hallmark.engines.genai"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        check=True,
        timeout=600,
    )
    assert list(tmp_path.iterdir()) == []
