"""GGUF files: synthetic headers, sound and not, and the shipped language model as one."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from hallmark.core.gguf import ALIGNMENT
from hallmark.testing.model_scripts import model_script

U32, TEXT, LIST = 4, 8, 9
Pair = tuple[str, int, bytes]


def text(value: str | bytes) -> bytes:
    """A text with its length."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def said(key: str, value: str) -> Pair:
    """A pair that holds a text."""
    return key, TEXT, text(value)


def number(key: str, value: int) -> Pair:
    """A pair that holds a number."""
    return key, U32, struct.pack("<I", value)


def tensor(name: str, shape: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    """What a header says of a tensor."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def sound() -> dict[str, Pair]:
    """The pairs of a header that is taken, by key."""
    tokens = struct.pack("<IQ", TEXT, 2) + text("a") + text("b")
    pairs = [
        said("general.architecture", "llama"),
        number("llama.context_length", 64),
        number("llama.block_count", 1),
        number("llama.embedding_length", 8),
        number("llama.attention.head_count", 2),
        said("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.tokens", LIST, tokens),
        number("tokenizer.ggml.eos_token_id", 1),
    ]
    return {pair[0]: pair for pair in pairs}


def header(
    changed: Mapping[str, Pair | None] | None = None,
    tensors: Sequence[bytes] = (tensor("t", (8, 2)),),
    *,
    data: int = 64,
    magic: bytes = b"GGUF",
    version: int = 3,
) -> bytes:
    """A file of zeros behind `sound` pairs, some of them `changed` (None: left out)."""
    pairs = [pair for pair in {**sound(), **(changed or {})}.values() if pair is not None]
    return written(pairs, tensors, data=data, magic=magic, version=version)


def written(
    pairs: Sequence[Pair],
    tensors: Sequence[bytes],
    *,
    data: int,
    magic: bytes = b"GGUF",
    version: int = 3,
) -> bytes:
    """A file of so many zeros behind these pairs and tensors."""
    out = magic + struct.pack("<IQQ", version, len(tensors), len(pairs))
    out += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in pairs)
    out += b"".join(tensors)
    return out + bytes(-len(out) % ALIGNMENT) + bytes(data)


def write_pydoc(target: Path) -> None:
    """The shipped language model as a GGUF file, by its own script."""
    model_script("to_gguf", "pydoc").write(target)
