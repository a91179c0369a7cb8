"""Every published blob ID, at the network's own number of shards: two seconds each."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from hallmark.hub import blob_id, blob_id_of_file, blob_text

pytestmark = pytest.mark.integration

VECTORS = Path(os.environ.get("HALLMARK_VECTORS", "../shared/vectors")) / "walrus" / "blob_ids.json"
DOCUMENT = Path(__file__).parents[2] / "docs" / "artifacts.md"


def pattern(length: int) -> bytes:
    """The published pattern: byte i is (7*i+13) mod 256."""
    return (bytes((7 * i + 13) % 256 for i in range(256)) * (length // 256 + 1))[:length]


def content(name: str, length: int) -> bytes:
    """Content of a published vector."""
    known = {"empty": b"", "hello": b"hello", "a": b"a", "zeros1000": bytes(1000)}
    data = pattern(length) if name.startswith("pat") else known[name]
    assert len(data) == length
    return data


def vectors(*, shards: int | None) -> list[dict[str, object]]:
    """The published vectors, of one number of shards or all."""
    if not VECTORS.exists():
        pytest.skip("the vectors are not beside this checkout (HALLMARK_VECTORS)")
    found = [v for v in json.loads(VECTORS.read_text())["vectors"] if shards in (None, v["n"])]
    assert found
    return found


def test_all_vectors_are_identical() -> None:
    """Every published vector comes out, in memory and from a file."""
    for vector in vectors(shards=None):
        data = content(str(vector["name"]), int(str(vector["len"])))
        assert blob_text(blob_id(data, int(str(vector["n"])))) == vector["id"], vector["name"]


def test_blob_of_five_mebibytes(tmp_path: Path) -> None:
    """A blob with symbols of many bytes has the ID that the network's own encoder gives."""
    path = tmp_path / "blob"
    path.write_bytes(pattern(5_242_880))
    assert blob_text(blob_id_of_file(path)) == "2sQpMJ0-MBPOITz3dpkaXC_5cz_-6zvuIBvJOw796XI"


def test_program_of_the_documentation_on_hello() -> None:
    """At a thousand shards it prints the ID that the documentation promises."""
    text = DOCUMENT.read_text()
    program = next(part for part in re.findall(r"```python\n(.*?)```", text, re.S) if "def blob_id" in part)
    names: dict[str, Any] = {"__name__": "by_hand"}
    exec(program, names)
    assert names["blob_id"](b"hello") == blob_id(b"hello")
