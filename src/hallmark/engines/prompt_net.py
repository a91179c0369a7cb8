"""The network that reads a prompt, in whole numbers: equal prompts give equal classes on any processor.

    words -> sum of rows of a table (the word, and its parts of three letters) -> convolution over five words,
    ReLU -> the same again -> the largest of each channel over all words -> one class of each of `HEADS`

Weights are int8, biases int64 at the scale that the weights before them make; sums stay below 2^63, because
weights, words and letters are bounded. Nothing is rescaled in between.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from hallmark.core.errors import InvalidInput
from hallmark.core.safetensors import NotSafetensors, StoredTensor, read_tensors
from hallmark.engines.request_errors import invalid_value
from hallmark.engines.scene import HEADS

if TYPE_CHECKING:
    import numpy.typing as npt

ROWS: Final = 4096
WIDTH: Final = 5
"""Words that a convolution sees at once."""
MOST_CHARACTERS, MOST_WORDS, MOST_LETTERS = 1000, 64, 24
MOST_CHANNELS: Final = 256
WORD: Final = re.compile(rb"[a-z]+|[0-9]+|[\x80-\xff]+")
FNV_START, FNV_PRIME = 0x811C9DC5, 0x01000193


def rows_of(prompt: str) -> list[list[int]]:
    """For each word of a prompt the rows of the table that it sums.

    Raises BadParameter `invalid_value` for a prompt without words, or with too many.
    """
    words = WORD.findall(prompt.encode().lower()) if len(prompt) <= MOST_CHARACTERS else []
    if not 1 <= len(words) <= MOST_WORDS:
        raise invalid_value("prompt", f"of 1 to {MOST_WORDS} words and at most {MOST_CHARACTERS} characters")
    return [_rows(word[:MOST_LETTERS]) for word in words]


def _rows(word: bytes) -> list[int]:
    framed = b"^" + word + b"$"
    parts = [framed[at : at + 3] for at in range(len(framed) - 2)]
    return [_hashed(b"=" + word), *(_hashed(part) for part in parts)]


def _hashed(part: bytes) -> int:
    """FNV-1a with 32 bits, folded to the table."""
    value = FNV_START
    for byte in part:
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return (value ^ value >> 16) % ROWS


class PromptNet:
    """The network over its weights, a file of safetensors. Raises InvalidInput `bad_artifact`."""

    def __init__(self, data: bytes) -> None:
        try:
            found = read_tensors(data)
            self._table = _array(found, "table", "I8", (ROWS, None))
            width = self._table.shape[1]
            self._layers = []
            for name in ("first", "second"):
                weights = _array(found, f"{name}.weight", "I8", (WIDTH * width, None))
                width = weights.shape[1]
                self._layers.append((weights, _array(found, f"{name}.bias", "I64", (width,))))
            classes = sum(map(len, HEADS.values()))
            self._heads = _array(found, "heads.weight", "I8", (width, classes))
            self._bias = _array(found, "heads.bias", "I64", (classes,))
        except (KeyError, NotSafetensors) as error:
            raise InvalidInput(
                "bad_artifact", "The artifact's weights are not those of this engine."
            ) from error

    def read(self, prompt: str) -> dict[str, str]:
        """One class of each of `HEADS`. Raises BadParameter `invalid_value`."""
        grid = np.stack([self._table[rows].sum(axis=0) for rows in rows_of(prompt)])
        for weights, bias in self._layers:
            framed = np.pad(grid, ((WIDTH // 2, WIDTH // 2), (0, 0)))
            seen = np.concatenate([framed[at : at + len(grid)] for at in range(WIDTH)], axis=1)
            grid = np.maximum(seen @ weights + bias, 0)
        scores = grid.max(axis=0) @ self._heads + self._bias
        found, at = {}, 0
        for head, classes in HEADS.items():
            found[head] = classes[int(scores[at : at + len(classes)].argmax())]
            at += len(classes)
        return found


def _array(
    found: dict[str, StoredTensor], name: str, dtype: str, shape: tuple[int | None, ...]
) -> npt.NDArray[np.int64]:
    one = found[name]
    fits = len(one.shape) == len(shape) and all(
        size in (None, is_) and 0 < is_ <= max(ROWS, MOST_CHANNELS * WIDTH)
        for size, is_ in zip(shape, one.shape, strict=True)
    )
    if one.dtype != dtype or not fits or one.shape[-1] > MOST_CHANNELS:
        raise KeyError(name)
    kind = {"I8": "<i1", "I64": "<i8"}[dtype]
    return np.frombuffer(one.data, kind).reshape(one.shape).astype(np.int64)
