"""Under which format a folder is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from hallmark.compose.publishing import OPENED, _engine_format
from hallmark.core.safetensors import StoredTensor, write_tensors
from hallmark.hub.model_folder import read_folder


@pytest.mark.parametrize(
    ("about", "format"),
    [
        (b'{"format": "integer-exact"}', "integer-exact"),
        (b'{"format": "onnx"}', "safetensors"),
        (b"not JSON", "safetensors"),
        (None, "safetensors"),
    ],
)
def test_safetensors_are_what_their_model_json_says_if_an_engine_reads_that(
    about: bytes | None, format: str, tmp_path: Path
) -> None:
    """Integers in safetensors are published under their engine's format, and opened before; any other word
    in model.json changes nothing.
    """
    (tmp_path / "weights.safetensors").write_bytes(write_tensors({"a": StoredTensor("U8", (1,), b"\1")}))
    if about is not None:
        (tmp_path / "model.json").write_bytes(about)
    assert _engine_format(read_folder(tmp_path)) == format
    assert (format in OPENED) == (format == "integer-exact")
