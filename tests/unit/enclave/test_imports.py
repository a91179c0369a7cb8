"""What an enclave imports before it knows its models."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import hallmark.services.enclave.app
import hallmark.services.enclave.boot
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_no_engine_is_imported_that_no_model_needs() -> None:
    """An image without engines has none of their libraries, and a start does not wait for them."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "hallmark" in loaded
    assert loaded.isdisjoint({"numpy", "onnxruntime", "onnxruntime_genai", "sqlalchemy"})
