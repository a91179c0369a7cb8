"""The integer model that a circuit proves: made from an ONNX graph, and evaluated exactly.

    q = round(x * 2^shift), low <= q < low + 2^bits          a column of the input
    Dense, Conv                                              integer weights, no rounding
    Relu: r = max(0, y, ...) >> drop                         of one value, or of a 2x2 field (max pooling)

Which bits each value may need follows from interval arithmetic over the input's whole box, so that no input
in the domain can leave the circuit. What comes after the last linear layer (softmax, sigmoid, argmax) is
left to the reader: it takes nothing but the outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from hallmark.core.errors import InvalidInput
from hallmark.zkml.poseidon import commit

Integers = npt.NDArray[np.int64]
INPUTS, OUTPUTS = 1, 2
"""Domains of the two commitments."""
WORD_BITS: Final = 248
"""How much is packed into one field element."""


class Column(msgspec.Struct, frozen=True):
    """One number of the input: its scale, the box that the circuit checks, the domain that is accepted."""

    shift: int
    low: int
    bits: int
    last: int
    """The largest q of the calibrated domain; `low` is the smallest."""


class Layer(msgspec.Struct, frozen=True):
    """A linear layer, and what follows: `relu`, then 2x2 max pooling if `pool`, then `drop` bits fewer.

    `weights` is [out, in] for a dense layer, [out, in, kh, kw] for a convolution (stride 1, zero padding
    `pad`) over `grid` = channels, height, width.
    """

    weights: Integers
    bias: Integers
    relu: bool
    pool: bool = False
    drop: int = 0
    pad: int = 0
    grid: tuple[int, int, int] = (0, 0, 0)
    lows: tuple[int, ...] = ()
    highs: tuple[int, ...] = ()
    """Bounds of each output channel before the activation."""

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution."""
        return self.weights.ndim == 4


class IntegerModel(msgspec.Struct, frozen=True):
    """Columns, layers, and the scale of the outputs: logit = value / 2^scale."""

    columns: tuple[Column, ...]
    layers: tuple[Layer, ...]
    scale: int

    @property
    def output_offset(self) -> int:
        """What is added to an output before packing, so that it is never negative."""
        return -min(0, *self.layers[-1].lows)

    @property
    def output_bits(self) -> int:
        """Bits of an output with its offset."""
        return (max(self.layers[-1].highs) + self.output_offset).bit_length()


def quantise(model: IntegerModel, values: Sequence[float]) -> tuple[int, ...]:
    """The input as integers, rounded half to even from the exact value.

    Needs no proof, key or payment, so that it can refuse before any is asked for.
    Raises InvalidInput `zk_wrong_shape`, `zk_outside_domain`.
    """
    if len(values) != len(model.columns):
        raise InvalidInput("zk_wrong_shape", f"This circuit takes {len(model.columns)} numbers.")
    found = []
    for column, value in zip(model.columns, values, strict=True):
        q = round(Fraction(value) * 2**column.shift) if _is_finite(value) else column.last + 1
        if not column.low <= q <= column.last:
            raise InvalidInput(
                "zk_outside_domain",
                "An input is outside the range that this circuit was calibrated for.",
                "Ask without mode zkml, or see the model card for the range of each input.",
            )
        found.append(q)
    return tuple(found)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def evaluate(model: IntegerModel, inputs: Sequence[int]) -> tuple[int, ...]:
    """The outputs of the circuit for integers that `quantise` made; exact.

    Raises InvalidInput `zk_wrong_shape`.
    """
    if len(inputs) != len(model.columns):
        raise InvalidInput("zk_wrong_shape", f"This circuit takes {len(model.columns)} numbers.")
    boxes = zip(model.columns, inputs, strict=True)
    values = np.array([q - column.low for column, q in boxes], np.int64)
    for layer in model.layers:
        values = _activate(
            layer, convolve(layer, values) if layer.is_conv else layer.weights @ values + layer.bias
        )
    return tuple(int(value) for value in values)


def convolve(layer: Layer, values: Integers) -> Integers:
    """One convolution over a flat grid, flat again."""
    channels, height, width = layer.grid
    out, _, down, right = layer.weights.shape
    grid = np.pad(
        values.reshape(channels, height, width), ((0, 0), (layer.pad, layer.pad), (layer.pad, layer.pad))
    )
    rows, columns = grid.shape[1] - down + 1, grid.shape[2] - right + 1
    total = np.zeros((out, rows, columns), np.int64)
    for y in range(down):
        for x in range(right):
            window = grid[:, y : y + rows, x : x + columns].reshape(channels, -1)
            total += (layer.weights[:, :, y, x] @ window).reshape(out, rows, columns)
    return (total + layer.bias[:, None, None]).reshape(-1)


def _activate(layer: Layer, values: Integers) -> Integers:
    if layer.pool:
        out = layer.weights.shape[0]
        rows, columns = output_grid(layer)
        values = values.reshape(out, rows // 2, 2, columns // 2, 2).max(axis=(2, 4)).reshape(-1)
    return np.maximum(values, 0) >> layer.drop if layer.relu else values


def output_grid(layer: Layer) -> tuple[int, int]:
    """Height and width of a convolution's result before pooling."""
    _, _, down, right = layer.weights.shape
    return layer.grid[1] + 2 * layer.pad - down + 1, layer.grid[2] + 2 * layer.pad - right + 1


def pack(values: Sequence[int], bits: Sequence[int]) -> tuple[int, ...]:
    """Numbers of known sizes side by side in as few field elements as hold them, the first lowest."""
    words, used = [0], 0
    for value, size in zip(values, bits, strict=True):
        if used + size > WORD_BITS:
            words.append(0)
            used = 0
        words[-1] |= value << used
        used += size
    return tuple(words)


def commit_inputs(model: IntegerModel, inputs: Sequence[int], salt: int) -> int:
    """The commitment that the circuit makes of its inputs: the first public signal."""
    offsets = [q - column.low for column, q in zip(model.columns, inputs, strict=True)]
    return commit(INPUTS, salt, pack(offsets, [column.bits for column in model.columns]))


def commit_outputs(model: IntegerModel, outputs: Sequence[int], salt: int) -> int:
    """The commitment that the circuit makes of its outputs: the second public signal."""
    offsets = [value + model.output_offset for value in outputs]
    return commit(OUTPUTS, salt, pack(offsets, [model.output_bits] * len(outputs)))
