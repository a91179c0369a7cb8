"""The header of a GGUF file, read strictly: what a library in C++ is handed afterwards has been through this.

    "GGUF" || u32 version || u64 tensors || u64 pairs || pairs || tensors || zeros up to the alignment || data
    pair      u64 length || key || u32 type || value          text      u64 length || bytes
    tensor    u64 length || name || u32 dimensions || u64 each || u32 type || u64 offset in data
    list      u32 type || u64 count || values

Little endian. Every length is compared with what is left, every number has a bound, names occur once, and the
tensors fill the data one after the other. Each fault has a reason code of its own. What is not looked at: the
values of the weights, and whether a tokenizer's merges make sense.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Final

import msgspec

from hallmark.core.errors import InvalidInput

MAGIC: Final = b"GGUF"
HINT: Final = "Write the file again with the converter of its library."
VERSIONS: Final = (2, 3)
MOST_TENSORS: Final = 1 << 16
MOST_PAIRS: Final = 1 << 12
MOST_ITEMS: Final = 1 << 23
LONGEST_NAME: Final = 63
LONGEST_KEY: Final = 255
LONGEST_TEXT: Final = 1 << 20
MOST_VALUES: Final = 1 << 46
ALIGNMENT: Final = 32
MOST_ALIGNMENT: Final = 1 << 16
MOST_SIZE: Final = 1 << 24
TEXT: Final = 8
LIST: Final = 9
PLAIN: Final = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<B",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""Types of values that have a fixed length, as `struct` lays them out."""
BOOL: Final = 7
BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""Types of tensors: how many values make a block, and how many bytes that has (ggml.h)."""
TYPES: Final = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 30: "BF16",
}  # fmt: skip
ARCHITECTURES: Final = ("gemma2", "gemma3", "llama", "phi3", "qwen2", "qwen3")
"""Models of text alone that read from left to right."""


class GGUFTensor(msgspec.Struct, frozen=True):
    """A tensor: name, type (a number of ggml.h), shape, and where its bytes are in the data."""

    name: str
    kind: int
    shape: tuple[int, ...]
    offset: int
    length: int


class GGUFHeader(msgspec.Struct, frozen=True):
    """What a header says. `values` are texts and numbers by key; of lists, `counts` has how long each is."""

    values: dict[str, Any]
    counts: dict[str, int]
    tensors: tuple[GGUFTensor, ...]

    @property
    def architecture(self) -> str:
        """Such as "llama"."""
        return str(self.values["general.architecture"])

    @property
    def context(self) -> int:
        """Tokens that the model was made for."""
        return int(self.values[f"{self.architecture}.context_length"])

    @property
    def parameters(self) -> int:
        """How many numbers the tensors hold."""
        return sum(math.prod(one.shape) for one in self.tensors)

    @property
    def quantisation(self) -> str:
        """The types of the tensors, the one with the most bytes first."""
        total: dict[str, int] = {}
        for one in self.tensors:
            name = TYPES.get(one.kind, f"type {one.kind}")
            total[name] = total.get(name, 0) + one.length
        return ", ".join(sorted(total, key=lambda name: (-total[name], name)))

    @property
    def template(self) -> str:
        """The chat template; empty where there is none."""
        return str(self.values.get("tokenizer.chat_template", ""))

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a card says of the file."""
        return (
            ("architecture", self.architecture),
            ("parameters", f"{self.parameters:,}"),
            ("quantisation", self.quantisation),
            ("context", f"{self.context:,} tokens"),
            (
                "tokenizer",
                f"{self.values['tokenizer.ggml.model']}, {self.counts['tokenizer.ggml.tokens']:,} tokens",
            ),
            ("chat template", "yes" if self.template else "no"),
        )


def read_gguf(data: bytes) -> GGUFHeader:
    """The header of a whole file in memory.

    Raises InvalidInput `gguf_magic`, `gguf_version`, `gguf_too_many`, `gguf_truncated`, `gguf_metadata`,
    `gguf_tensor`, `gguf_alignment`, `gguf_offset`, `gguf_unsupported`.
    """
    cursor = _Cursor(data)
    if cursor.take(4) != MAGIC:
        raise InvalidInput("gguf_magic", "The file does not begin as a GGUF file does.", HINT)
    if (version := cursor.number("<I")) not in VERSIONS:
        raise InvalidInput(
            "gguf_version", f"The GGUF file has the version {version}; 2 and 3 are read.", HINT
        )
    tensors, pairs = cursor.number("<Q"), cursor.number("<Q")
    if not 0 < tensors <= MOST_TENSORS or pairs > MOST_PAIRS:
        raise InvalidInput("gguf_too_many", "The GGUF file lists no tensor, or more than is looked at.", HINT)
    values, counts = _pairs(cursor, pairs)
    alignment = values.get("general.alignment", ALIGNMENT)
    if not _whole(alignment) or not 8 <= alignment <= MOST_ALIGNMENT or alignment & (alignment - 1):
        raise InvalidInput(
            "gguf_alignment", "The GGUF file's alignment is no power of two from 8 to 65536.", HINT
        )
    listed = tuple(_tensor(cursor) for _ in range(tensors))
    if len({one.name for one in listed}) < tensors:
        raise InvalidInput("gguf_tensor", "A tensor's name occurs twice in the GGUF file.", HINT)
    _require_offsets(listed, -(-cursor.at // alignment) * alignment, alignment, len(data))
    _require_model(values, counts)
    return GGUFHeader(values, counts, listed)


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data, self.at, self.items = data, 0, 0

    def take(self, length: int) -> bytes:
        if length > len(self._data) - self.at:
            raise InvalidInput("gguf_truncated", "The GGUF file ends inside its header.", HINT)
        self.at += length
        return self._data[self.at - length : self.at]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def count(self, items: int) -> None:
        self.items += items
        if self.items > MOST_ITEMS:
            raise InvalidInput("gguf_too_many", "The GGUF file's lists are longer than is looked at.", HINT)

    def text(self, longest: int, reason: str) -> str:
        length = self.number("<Q")
        if length > longest:
            raise InvalidInput(reason, f"A text of the GGUF file has more than {longest} bytes.", HINT)
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(reason, "A text of the GGUF file is not UTF-8.", HINT) from error


def _pairs(cursor: _Cursor, pairs: int) -> tuple[dict[str, Any], dict[str, int]]:
    values: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for _ in range(pairs):
        key = cursor.text(LONGEST_KEY, "gguf_metadata")
        if not key or not key.isascii() or not key.isprintable() or key in values or key in counts:
            raise InvalidInput(
                "gguf_metadata", "A key of the GGUF file is empty, not ASCII, or occurs twice.", HINT
            )
        kind = cursor.number("<I")
        if kind == LIST:
            counts[key] = _list(cursor)
        else:
            values[key] = _value(cursor, kind)
    return values, counts


def _value(cursor: _Cursor, kind: int) -> Any:
    if kind == TEXT:
        return cursor.text(LONGEST_TEXT, "gguf_metadata")
    if kind not in PLAIN:
        raise InvalidInput("gguf_metadata", "A value of the GGUF file is of an unknown type.", HINT)
    value = cursor.number(PLAIN[kind])
    if kind == BOOL:
        if value > 1:
            raise InvalidInput("gguf_metadata", "A truth value of the GGUF file is neither 0 nor 1.", HINT)
        return bool(value)
    return value


def _list(cursor: _Cursor) -> int:
    kind, count = cursor.number("<I"), cursor.number("<Q")
    if kind != TEXT and kind not in PLAIN:
        raise InvalidInput("gguf_metadata", "A list of the GGUF file holds an unknown type, or lists.", HINT)
    cursor.count(count)
    if kind == TEXT:
        for _ in range(count):
            cursor.text(LONGEST_TEXT, "gguf_metadata")
    else:
        cursor.take(count * struct.calcsize(PLAIN[kind]))
    return int(count)


def _tensor(cursor: _Cursor) -> GGUFTensor:
    name, dimensions = cursor.text(LONGEST_NAME, "gguf_tensor"), cursor.number("<I")
    if not name or not 1 <= dimensions <= 4:
        raise InvalidInput(
            "gguf_tensor", "A tensor of the GGUF file has no name, or not one to four dimensions.", HINT
        )
    shape = tuple(cursor.number("<Q") for _ in range(dimensions))
    kind, offset = cursor.number("<I"), cursor.number("<Q")
    if kind not in BLOCKS:
        raise InvalidInput("gguf_tensor", f"A tensor of the GGUF file has the unknown type {kind}.", HINT)
    values, length = BLOCKS[kind]
    if min(shape) < 1 or math.prod(shape) > MOST_VALUES or shape[0] % values:
        raise InvalidInput(
            "gguf_tensor",
            "A tensor of the GGUF file is empty, too large, or no whole number of blocks.",
            HINT,
        )
    return GGUFTensor(name, kind, shape, offset, math.prod(shape) // values * length)


def _require_offsets(tensors: tuple[GGUFTensor, ...], start: int, alignment: int, size: int) -> None:
    """The tensors lie one after the other, each at the alignment, and end within the file."""
    expected = 0
    for one in tensors:
        if one.offset != expected:
            raise InvalidInput(
                "gguf_offset", "A tensor of the GGUF file is not where the one before it ends.", HINT
            )
        if start + one.offset + one.length > size:
            raise InvalidInput("gguf_truncated", "A tensor of the GGUF file ends behind the file.", HINT)
        expected += -(-one.length // alignment) * alignment


def _require_model(values: dict[str, Any], counts: dict[str, int]) -> None:
    """The keys that a language model has, in their bounds."""
    architecture = values.get("general.architecture")
    if architecture not in ARCHITECTURES or values.get("general.type", "model") != "model":
        raise InvalidInput(
            "gguf_unsupported", f"The GGUF file is of none of: {', '.join(ARCHITECTURES)}.", HINT
        )
    if values.get("split.count", 1) not in (0, 1):
        raise InvalidInput("gguf_unsupported", "The GGUF file is one of several parts of a model.", HINT)
    for name in ("context_length", "block_count", "embedding_length", "attention.head_count"):
        size = values.get(f"{architecture}.{name}")
        if not isinstance(size, int) or not 1 <= size <= MOST_SIZE:
            raise InvalidInput("gguf_metadata", f"The GGUF file has no sound {architecture}.{name}.", HINT)
    if not isinstance(values.get("tokenizer.ggml.model"), str):
        raise InvalidInput("gguf_metadata", "The GGUF file names no tokenizer.", HINT)
    if not isinstance(values.get("tokenizer.chat_template", ""), str):
        raise InvalidInput("gguf_metadata", "The GGUF file's chat template is no text.", HINT)
    tokens = counts.get("tokenizer.ggml.tokens", 0)
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        if not tokens or counts.get(key, tokens) != tokens:
            raise InvalidInput(
                "gguf_metadata", "The GGUF file's lists of tokens are missing, or not of one length.", HINT
            )
    for key, value in values.items():
        names = key.startswith("tokenizer.ggml.") and key.endswith("_token_id")
        if names and not (_whole(value) and 0 <= value < tokens):
            raise InvalidInput("gguf_metadata", f"{key} of the GGUF file names no token.", HINT)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
