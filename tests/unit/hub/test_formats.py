"""Weights by content: what whole ones hold, and what others are refused for."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.hub import formats
from hallmark.hub.formats import Format, Weights, read_weights
from hallmark.testing.weights import field, gguf, onnx, safetensors

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "artifact" / "model.onnx"


def read(data: bytes) -> Weights | None:
    """What these bytes are."""
    return read_weights(io.BytesIO(data), len(data))


def refused(data: bytes) -> str:
    """The reason for which they are refused; empty when they are not."""
    try:
        read(data)
    except InvalidInput as error:
        return error.reason
    return ""


def test_whole_ones() -> None:
    """Each format, by content alone; a real graph too; what is none of them is nobody's business here."""
    found = read(safetensors({"a": ("F32", (2, 3)), "b": ("BF16", (4,))}))
    assert found is not None
    assert (found.format, found.tensors) == (
        Format.SAFETENSORS,
        (("a", "F32", (2, 3)), ("b", "BF16", (4,))),
    )
    found = read(gguf({"general.architecture": "llama"}, {"t": (0, (8, 2))}))
    assert found is not None
    assert (found.format, found.about["general.architecture"]) == (Format.GGUF, "llama")
    assert found.tensors == (("t", "type 0", (8, 2)),)
    for graph in (DIGITS.read_bytes(), onnx(), onnx("weights.bin")):
        found = read(graph)
        assert found is not None
        assert found.format is Format.ONNX
    assert found.external == ("weights.bin",)
    for other in (b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(50), field(1, 0, 1) + field(2, 2, b"meta")):
        assert read(other) is None


@pytest.mark.parametrize(
    "data",
    [
        safetensors({"a": ("F32", (2, 3))}),
        gguf({"general.name": "x"}, {"t": (0, (8, 2))}),
        DIGITS.read_bytes(),
    ],
    ids=["safetensors", "gguf", "onnx"],
)
def test_cut_off(data: bytes) -> None:
    """Cut anywhere behind the first bytes, a file is not whole; a graph that lost its tail says so too."""
    for end in (len(data) - 1, len(data) // 2, 24):
        assert refused(data[:end]) in ("weights_truncated", "bad_weights")
    assert refused(data[: len(data) // 2]) == "weights_truncated"


@pytest.mark.parametrize(
    "place", ["../w.bin", "/etc/passwd", "a/../../w", "C:\\w.bin", "a\\..\\..\\w", "w\n"]
)
def test_external_data_outside(place: str) -> None:
    """A graph that takes its values from somewhere else, also deep inside of a subgraph."""
    assert refused(onnx(place)) == "external_data_outside"
    inner = field(7, 2, field(1, 2, field(5, 2, field(6, 2, onnx_graph(place)))))
    assert refused(field(1, 0, 8) + field(2, 2, b"p") + inner + field(8, 2, b"")) == "external_data_outside"


def onnx_graph(place: str) -> bytes:
    """A graph with one tensor that lies in a file."""
    pair = field(1, 2, b"location") + field(2, 2, place.encode())
    return field(5, 2, field(13, 2, pair))


def test_contradictions() -> None:
    """Overlaps, gaps, a tail, unknown types, impossible shapes, wrong counts."""

    def tensors(header: dict[str, object], data: int = 8) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + bytes(data)

    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    assert refused(tensors({"a": one})) == ""
    for wrong in (
        {"a": one, "b": one},
        {"a": {**one, "data_offsets": [4, 12]}},
        {"a": {**one, "shape": [3]}},
        {"a": {**one, "shape": [-1, -2]}},
        {"a": {**one, "dtype": "PICKLE"}},
        {"a": {**one, "more": 1}},
        {"a": 1},
    ):
        assert refused(tensors(wrong, 12)) == "bad_weights"
    assert refused(tensors({"a": one}, 9)) == "bad_weights"
    assert refused(struct.pack("<Q", 20) + b'{"a":[[[[[[' + bytes(30)) == "bad_weights"
    assert refused(b"GGUF" + struct.pack("<IQQ", 9, 0, 0)) == "bad_weights"
    assert refused(b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0)) == "bad_weights"
    assert refused(gguf({"general.alignment": "-1"}, {})) == "bad_weights"
    assert refused(field(1, 0, 8) + field(2, 2, b"p") + field(7, 2, b"")) == "bad_weights"
    deep = b""
    for _ in range(70):
        deep = field(1, 2, field(5, 2, field(6, 2, deep)))
    assert refused(field(1, 0, 8) + field(2, 2, b"p") + field(7, 2, deep)) == "bad_weights"


def test_a_made_up_file_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lists more than is looked at is refused."""
    monkeypatch.setattr(formats.onnx_file, "MOST_FIELDS", 50)
    graph = field(7, 2, field(1, 2, b"") * 100)
    assert refused(field(1, 0, 8) + field(2, 2, b"p") + graph + field(8, 2, b"")) == "bad_weights"


@given(st.sampled_from([DIGITS.read_bytes()[:600], gguf({"a": "b"}, {"t": (0, (8,))}), onnx("w")]), st.data())
def test_damaged_anyhow(data: bytes, draw: st.DataObject) -> None:
    """Whatever becomes of a byte, the answer is weights, none, or a reason of ours."""
    changed = bytearray(data)
    for _ in range(3):
        changed[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert refused(bytes(changed)) in ("", "weights_truncated", "bad_weights", "external_data_outside")
