"""Our reading and writing of safetensors beside the format's own library, and what is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.safetensors import NotSafetensors, StoredTensor, read_tensors, write_tensors

TYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float32",
    "float64",
)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
arrays = st.builds(
    lambda dtype, shape, seed: np.array(np.random.default_rng(seed).random(shape) * 100 - 50).astype(dtype),
    st.sampled_from(TYPES),
    shapes,
    st.integers(0, 2**32),
)


@given(st.dictionaries(st.text("ab/._é", min_size=1, max_size=6), arrays, max_size=5))
def test_what_the_library_writes_is_read_and_the_other_way(wanted: dict[str, Any]) -> None:
    """Names, types, shapes and every value, whoever wrote the file."""
    found = read_tensors(safetensors.numpy.save(wanted))
    assert {name: one.shape for name, one in found.items()} == {n: a.shape for n, a in wanted.items()}
    for name, array in wanted.items():
        assert found[name].lists() == array.tolist()
    again = safetensors.numpy.load(write_tensors(found))
    assert again.keys() == wanted.keys()
    for name, array in wanted.items():
        assert again[name].dtype == array.dtype
        np.testing.assert_array_equal(again[name], array)


def test_the_same_tensors_are_the_same_bytes() -> None:
    """In whatever order they are given; and what the values are is not touched."""
    one = StoredTensor("F32", (2,), struct.pack("<2f", 1.5, float("nan")))
    two = StoredTensor("BF16", (), b"\x80\x3f")
    data = write_tensors({"b": one, "a": two})
    assert data == write_tensors({"a": two, "b": one})
    assert {name: bytes(t.data) for name, t in read_tensors(data).items()} == {"a": two.data, "b": one.data}
    with pytest.raises(NotSafetensors):
        read_tensors(data)["a"].lists()


def test_a_shape_is_no_way_to_fill_memory() -> None:
    """Rows without a value, and dimensions of one, cost a file nothing and whoever reads it a lot."""
    assert StoredTensor("F32", (2, 0, 1 << 60), b"").lists() == [[], []]
    for shape, data in (((1 << 40, 0), b""), ((1 << 20, 1 << 20, 0), b""), ((1,) * 1_000, b"\1")):
        tensor = read_tensors(write_tensors({"a": StoredTensor("U8", shape, data)}))["a"]
        with pytest.raises(NotSafetensors):
            tensor.lists()


def file(header: object, data: bytes) -> bytes:
    """A file of this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ENTRY = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 9,
        file({"a": ENTRY}, b"1"),
        file({"a": ENTRY}, b"123"),
        file({"a": ENTRY, "b": ENTRY}, b"12"),
        file({"a": {**ENTRY, "shape": [3]}}, b"12"),
        file({"a": {**ENTRY, "dtype": "U9"}}, b"12"),
        file({"a": {**ENTRY, "shape": [-1, -2]}}, b"12"),
        file({"a": {**ENTRY, "shape": [2.0]}}, b"12"),
        file({"a": {**ENTRY, "data_offsets": [0, 2, 2]}}, b"12"),
        file({"a": {**ENTRY, "x": 1}}, b"12"),
        file({"a": 1}, b""),
        file(b'{"a": ' + json.dumps(ENTRY).encode() + b', "a": ' + json.dumps(ENTRY).encode() + b"}", b"12"),
        file(b"{" + b'"a":[' * 100_000, b""),
        file(b'{"a\xff": 1}', b""),
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 40) + b"{}",
    ],
)
def test_what_contradicts_itself_is_refused(data: bytes) -> None:
    """By our own error, whatever the bytes, and without a word of theirs."""
    with pytest.raises(NotSafetensors) as caught:
        read_tensors(data)
    assert "U9" not in str(caught.value)


def test_overlaps_that_the_library_refuses_too() -> None:
    """The library's verdict on the same files."""
    for data in (file({"a": ENTRY, "b": ENTRY}, b"12"), file({"a": ENTRY}, b"123")):
        with pytest.raises(safetensors.SafetensorError):
            safetensors.deserialize(data)


@given(st.binary(max_size=80), st.integers(0, 79), st.integers(0, 255))
def test_damaged_anyhow(tail: bytes, at: int, value: int) -> None:
    """Tensors, or our own error."""
    data = bytearray(file({"a": ENTRY}, b"12")[: 80 - len(tail)] + tail)
    data[at % len(data)] = value
    try:
        found = read_tensors(bytes(data))
    except NotSafetensors:
        return
    assert all(isinstance(name, str) for name in found)
