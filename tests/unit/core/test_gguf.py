"""A GGUF file's header is read strictly; what does not hold has a reason, and is never another exception."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.core.gguf import read_gguf
from hallmark.testing.gguf_files import LIST, header, number, said, tensor, text

TWO = (tensor("a", (8,)), tensor("b", (8,), offset=32))


def refused(data: bytes) -> str:
    """The reason for which a file is refused."""
    with pytest.raises(InvalidInput) as error:
        read_gguf(data)
    return error.value.reason


def test_a_sound_header_is_read() -> None:
    """What a card says comes out of the header."""
    found = read_gguf(header(tensors=TWO))
    assert dict(found.facts()) == {
        "architecture": "llama", "parameters": "16", "quantisation": "F32", "context": "64 tokens",
        "tokenizer": "gpt2, 2 tokens", "chat template": "no",
    }  # fmt: skip


def test_the_type_with_the_most_bytes_stands_first_and_an_unnamed_one_by_its_number() -> None:
    """No card says F32 of a file whose weights are rounded, or gives a type a name that it has not."""
    some = (tensor("a", (8,)), tensor("b", (64, 8), 2, 32), tensor("c", (256,), 29, 320))
    found = read_gguf(header(tensors=some, data=512))
    assert dict(found.facts())["quantisation"] == "Q4_0, type 29, F32"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "gguf_truncated"),
        (header(magic=b"FUGG"), "gguf_magic"),
        (header(version=1), "gguf_version"),
        (header(version=3 << 24), "gguf_version"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 63, 0), "gguf_too_many"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 63), "gguf_too_many"),
        (header(tensors=()), "gguf_too_many"),
        (header({"x": ("x", LIST, struct.pack("<IQ", 0, 1 << 62))}), "gguf_too_many"),
        (header({"x": ("x", LIST, struct.pack("<IQ", 12, 1 << 22))}), "gguf_truncated"),
        (header({"x": ("x", LIST, struct.pack("<IQ", LIST, 0))}), "gguf_metadata"),
        (header({"x": ("x", 13, b"")}), "gguf_metadata"),
        (header({"x": ("x", 7, b"\2")}), "gguf_metadata"),
        (header({"x": ("x", 8, text(b"\xff"))}), "gguf_metadata"),
        (header({"x": ("x", 8, struct.pack("<Q", (1 << 64) - 1))}), "gguf_metadata"),
        (header({"x": ("x" * 256, 7, b"\1")}), "gguf_metadata"),
        (header({"x": ("general.architecture", 7, b"\1")}), "gguf_metadata"),
        (header({"tokenizer.ggml.tokens": None}), "gguf_metadata"),
        (header({"tokenizer.ggml.eos_token_id": number("tokenizer.ggml.eos_token_id", 2)}), "gguf_metadata"),
        (header({"s": ("tokenizer.ggml.scores", LIST, struct.pack("<IQf", 6, 1, 0.0))}), "gguf_metadata"),
        (
            header({"llama.attention.head_count": number("llama.attention.head_count", 0)}),
            "gguf_metadata",
        ),
        (header({"general.architecture": said("general.architecture", "clip")}), "gguf_unsupported"),
        (header({"general.type": said("general.type", "adapter")}), "gguf_unsupported"),
        (header({"split.count": number("split.count", 2)}), "gguf_unsupported"),
        (header({"a": number("general.alignment", 0)}), "gguf_alignment"),
        (header({"a": number("general.alignment", 24)}), "gguf_alignment"),
        (header({"a": said("general.alignment", "32")}), "gguf_alignment"),
        (header(tensors=(tensor("t", ()),)), "gguf_tensor"),
        (header(tensors=(tensor("t", (1,) * 5),)), "gguf_tensor"),
        (header(tensors=(tensor("t", (8, 0)),)), "gguf_tensor"),
        (header(tensors=(tensor("t", (1 << 40, 1 << 40)),)), "gguf_tensor"),
        (header(tensors=(tensor("t", (8,), kind=4),)), "gguf_tensor"),
        (header(tensors=(tensor("t", (8,), kind=8),)), "gguf_tensor"),
        (header(tensors=(tensor("t" * 64, (8,)),)), "gguf_tensor"),
        (header(tensors=(TWO[0], tensor("a", (8,), offset=32))), "gguf_tensor"),
        (header(tensors=(TWO[0], tensor("b", (8,), offset=0))), "gguf_offset"),
        (header(tensors=(tensor("t", (8,), offset=(1 << 64) - 32),)), "gguf_offset"),
        (header(data=63), "gguf_truncated"),
    ],
)
def test_what_does_not_hold_is_refused(data: bytes, reason: str) -> None:
    """Each fault has its reason."""
    assert refused(data) == reason


@given(st.data())
def test_any_bytes_are_taken_or_refused(data: st.DataObject) -> None:
    """Whatever is changed or cut, the only exception is ours."""
    whole = bytearray(header(tensors=TWO))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 65))] = data.draw(st.integers(0, 255))
    with suppress(InvalidInput):
        read_gguf(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
