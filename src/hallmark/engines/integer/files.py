"""Reading an integer-exact artifact: exact.json, weights.safetensors, and what is refused of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
import numpy as np

from hallmark.core.errors import InvalidInput
from hallmark.core.safetensors import NotSafetensors, StoredTensor, read_tensors
from hallmark.engines.integer.numbers import EXP2_STEPS, SIGMOID_ENTRIES, TABLE_BITS, Ints, Matrix
from hallmark.engines.integer.tokenizer import ChatMarks
from hallmark.engines.integer.transformer import Layer, Shape, Tables, Transformer

EXACT_FILE: Final = "exact.json"
WEIGHTS_FILE: Final = "weights.safetensors"
TYPES: Final = {"U8": "<u1", "I16": "<i2", "I32": "<i4"}
MOST_SHIFT: Final = 40
MOST_SIZE: Final = 1 << 20
MOST_EPSILON: Final = 1 << 28
"""One, in the units in which a mean of squares is."""
T = TypeVar("T")


class LanguageFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """exact.json of a language model."""

    version: int
    model: Shape
    chat: ChatMarks | None = None


def read_exact(files: Mapping[str, bytes], kind: type[T]) -> T:
    """exact.json as `kind`. Raises InvalidInput `bad_artifact`."""
    try:
        return msgspec.json.decode(files[EXACT_FILE], type=kind)
    except (KeyError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise bad("exact.json cannot be read") from error


class Tensors:
    """The integers of weights.safetensors by name. Raises InvalidInput `bad_artifact`."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        try:
            self._stored: Mapping[str, StoredTensor] = read_tensors(files[WEIGHTS_FILE])
        except (KeyError, NotSafetensors) as error:
            raise bad("weights.safetensors cannot be read") from error

    def get(self, name: str, *shape: int) -> Ints:
        """The integers of a tensor of exactly this shape."""
        stored = self._stored.get(name)
        if stored is None or stored.dtype not in TYPES or stored.shape != shape:
            raise bad(f"its tensor {name} is not there, or has another type or shape")
        return np.frombuffer(stored.data, dtype=TYPES[stored.dtype]).astype(np.int64).reshape(shape)

    def exp2(self) -> Ints:
        """The table of 2^-(i/4096), which begins with 1, so that no sum of shares is zero."""
        table = self.get_within("exp2", EXP2_STEPS, most=1 << TABLE_BITS)
        if table[0] != 1 << TABLE_BITS:
            raise bad("its table exp2 does not begin with 1")
        return table

    def sigmoid(self) -> Ints:
        """The table of the sigmoid, from 0 to 1."""
        return self.get_within("sigmoid", SIGMOID_ENTRIES, most=1 << TABLE_BITS)

    def get_within(self, name: str, *shape: int, most: int) -> Ints:
        """The integers of a tensor, which are from 0 to `most`."""
        found = self.get(name, *shape)
        if not found.size or found.min() < 0 or found.max() > most:
            raise bad(f"a number of its tensor {name} is out of its range")
        return found

    def matrix(self, name: str, rows: int, columns: int) -> Matrix:
        """Weights with their columns' shifts."""
        shift = self.get_within(f"{name}.shift", columns, most=MOST_SHIFT)
        return Matrix(self.get(name, rows, columns), shift)


def read_language(file: LanguageFile, files: Mapping[str, bytes]) -> Transformer:
    """The language model of an artifact. Raises InvalidInput `bad_artifact`, `integer_overflow`."""
    shape, tensors = file.model, Tensors(files)
    _check_shape(shape)
    layers = tuple(_layer(tensors, shape, number) for number in range(shape.layers))
    tables = Tables(
        exp2=tensors.exp2(),
        sigmoid=tensors.sigmoid(),
        cosine=tensors.get("cosine", shape.context, shape.head // 2),
        sine=tensors.get("sine", shape.context, shape.head // 2),
    )
    embedding = tensors.get("embedding", shape.vocabulary, shape.width)
    head = tensors.matrix("head", shape.width, shape.vocabulary)
    return Transformer(shape, embedding, layers, head, tables)


def _layer(tensors: Tensors, shape: Shape, number: int) -> Layer:
    width, hidden, at = shape.width, shape.hidden, f"layers.{number}"
    return Layer(
        qkv=tensors.matrix(f"{at}.qkv", width, 3 * width),
        out=tensors.matrix(f"{at}.out", width, width),
        gate_up=tensors.matrix(f"{at}.gate_up", width, 2 * hidden),
        down=tensors.matrix(f"{at}.down", hidden, width),
    )


def _check_shape(shape: Shape) -> None:
    sizes = (shape.layers, shape.width, shape.heads, shape.hidden, shape.vocabulary, shape.context)
    if min(*sizes, shape.epsilon) < 1 or max(sizes) > MOST_SIZE or shape.epsilon > MOST_EPSILON:
        raise bad("a size in exact.json is out of its range")
    if shape.width % shape.heads or shape.head % 2 or any(not 0 <= e < shape.vocabulary for e in shape.ends):
        raise bad("the sizes in exact.json do not fit together")


def bad(what: str) -> InvalidInput:
    """The error for an artifact that this engine cannot load."""
    return InvalidInput("bad_artifact", f"The integer-exact artifact cannot be loaded: {what}.")
