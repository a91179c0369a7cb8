"""Tensor models in integers: convolutions, linear layers, ReLU, pooling; probabilities by table.

An input is rounded to integers once, each column by its own power of two; from there on nothing is a
fraction. Probabilities are multiples of 2^-20, hence exact in the float32 that carries them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec
import numpy as np

from hallmark.core.errors import InvalidInput
from hallmark.engines.artifact import Artifact, TensorEntry
from hallmark.engines.integer.files import MOST_SIZE, Tensors, bad, read_exact
from hallmark.engines.integer.language import VERSION, describe
from hallmark.engines.integer.numbers import (
    RESIDUAL_LIMIT,
    SIGMOID_ENTRIES,
    SIGMOID_SHIFT,
    TABLE_BITS,
    Floats,
    Ints,
    expanded_exp2,
    half_up,
    saturate,
)
from hallmark.engines.integer.sampler import weights
from hallmark.engines.integer.trace import Tracer
from hallmark.engines.protocol import MILLION, Array, Description, Task, TensorSpec, Trace, Unoffered
from hallmark.engines.stepper import Stepper
from hallmark.engines.tensors import to_array

INPUT_LIMIT: Final = float(1 << 32)
MOST_EDGE: Final = 1 << 12
SMALLEST_SHIFT: Final = 128
"""An input's shift is stored with this added, so that large values can be made smaller."""


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a model. `conv` is 3x3 with a border of zeros, over images of `size` x `size`; `pool`
    takes the greatest of 2x2; ReLU follows where `relu` says so.
    """

    kind: Literal["conv", "linear", "pool"]
    name: str
    inputs: int
    outputs: int
    size: int = 0
    relu: bool = False


class TensorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """exact.json of a tensor model: its input's name and width, its stages, and what its last numbers
    become: "softmax" over classes, or "sigmoid" of the one that there is.
    """

    version: int
    input: str
    width: int
    stages: tuple[Stage, ...]
    ends: Literal["softmax", "sigmoid"]


def _check_sizes(file: TensorFile) -> None:
    sizes = [file.width, *(size for stage in file.stages for size in (stage.inputs, stage.outputs))]
    edges = [stage.size for stage in file.stages]
    if not edges or min(sizes) < 1 or max(sizes) > MOST_SIZE or min(edges) < 0 or max(edges) > MOST_EDGE:
        raise bad("a size in exact.json is out of its range")


class TracedOutputs(dict[str, Array]):
    """Outputs by name, with the trace of the run that made them."""

    trace: Trace


class ExactTensorEngine(Unoffered):
    """A tensor model. `inputs`, `outputs` and `labels` as those of the float engine."""

    tasks = frozenset({Task.TENSOR})

    def __init__(self, artifact: Artifact, stepper: Stepper) -> None:
        """Load the model. Raises InvalidInput `bad_artifact`, `integer_overflow`."""
        self._file = file = read_exact(artifact.files, TensorFile)
        if file.version != VERSION:
            raise bad("it is of another version of the arithmetic")
        _check_sizes(file)
        self._stepper, self.labels = stepper, artifact.model.labels
        tensors = Tensors(artifact.files)
        shift = tensors.get_within("input.shift", file.width, most=255) - SMALLEST_SHIFT
        self._scale = np.ldexp(1.0, shift.astype(np.int32))
        self._exp2 = expanded_exp2(tensors.exp2())
        self._sigmoid = tensors.sigmoid()
        self._load(tensors, artifact.model.inputs)

    def _load(self, tensors: Tensors, declared: tuple[TensorEntry, ...]) -> None:
        file = self._file
        entry = next((one for one in declared if one.name == file.input), TensorEntry(file.input))
        self.inputs = (TensorSpec(file.input, "float32", (None, file.width), entry.minimum, entry.maximum),)
        bounds, width = np.full(file.width, INPUT_LIMIT), file.width
        self.stages = []
        for number, stage in enumerate(file.stages):
            area = stage.size * stage.size
            taps = {"conv": 9, "linear": 1, "pool": 0}[stage.kind]
            wanted = stage.inputs * (area if stage.kind != "linear" else 1)
            if wanted != width or (
                stage.kind == "pool" and (stage.size % 2 or stage.inputs != stage.outputs)
            ):
                raise bad("its stages do not fit together")
            matrix, bias = None, np.zeros(0)
            if taps:
                matrix = tensors.matrix(stage.name, taps * stage.inputs, stage.outputs)
                bias = tensors.get(f"{stage.name}.bias", stage.outputs).astype(np.float64)
                # The first stage may bound each column; later ones are bounded by what saturates.
                each = bounds if not number and taps == 1 else np.full(taps * stage.inputs, bounds.max())
                matrix.after(each, f"stage {stage.name}")
                bounds = np.full(stage.outputs, RESIDUAL_LIMIT)
            self.stages.append((stage, matrix, bias))
            width = stage.outputs * {"conv": area, "linear": 1, "pool": area // 4}[stage.kind]
        if (file.ends == "sigmoid") != (width == 1):
            raise bad("its stages do not end in what it says")
        if file.ends == "sigmoid":
            self.outputs = (
                TensorSpec("probability", "float32", (None,)),
                TensorSpec("label", "int64", (None,)),
            )
        else:
            self.outputs = (
                TensorSpec("probabilities", "float32", (None, width)), TensorSpec("label", "int64", (None,)),
            )  # fmt: skip

    def describe(self) -> Description:
        """See `Engine.describe`."""
        return describe()

    async def infer(self, inputs: Mapping[str, object]) -> dict[str, Array]:
        """See `Engine.infer`; the answer is a `TracedOutputs`."""
        return await self._stepper.call(lambda: self.run(self.prepare(inputs)))

    def prepare(self, inputs: Mapping[str, object]) -> Array:
        """The one input, checked; errors as `Engine.infer` raises them."""
        (spec,) = self.inputs
        if set(inputs) - {spec.name}:
            raise InvalidInput("unknown_input", f"This model's inputs are: {spec.name}.")
        if spec.name not in inputs:
            raise InvalidInput("missing_input", f"The input '{spec.name}' is missing.")
        return to_array(spec, inputs[spec.name])

    def run(self, rows: Array, tracer: Tracer | None = None) -> TracedOutputs:
        """One run on a checked input."""
        values = half_up(rows.astype(np.float64) * self._scale)
        values = np.maximum(np.minimum(values, INPUT_LIMIT), -INPUT_LIMIT)
        states = []
        for stage, matrix, bias in self.stages:
            if matrix is None:
                values = _pooled(values, stage)
            else:
                taken = _patches(values, stage) if stage.kind == "conv" else values
                made = saturate(half_up(taken @ matrix.values) + bias)
                made = np.maximum(made, 0) if stage.relu else made
                values = _images(made, stage) if stage.kind == "conv" else made
            states.append(values)
        tracer = tracer or Tracer(len(self.stages))
        tracer.add([0] * len(values), states)
        outputs = self._ended(values)
        outputs.trace = tracer.trace()
        return outputs

    def _ended(self, values: Floats) -> TracedOutputs:
        if self._file.ends == "sigmoid":
            steps = half_up(values[:, 0] * SIGMOID_SHIFT).astype(np.int64) + SIGMOID_ENTRIES // 2
            shares = self._sigmoid[np.clip(steps, 0, SIGMOID_ENTRIES - 1)]
            label = (shares >= 1 << (TABLE_BITS - 1)).astype(np.int64)
            return TracedOutputs(probability=_fractions(shares), label=label)
        shares = np.stack([weights(row, MILLION, self._exp2) for row in values])
        whole = shares.sum(axis=1, keepdims=True)
        shares = ((shares << (TABLE_BITS + 1)) + whole) // (2 * whole)
        return TracedOutputs(probabilities=_fractions(shares), label=values.argmax(axis=1).astype(np.int64))

    def close(self) -> None:
        """Nothing to stop: the threads belong to whoever made the stepper."""


def _fractions(shares: Ints) -> Array:
    """Units of 2^-20 as the float32 that they are."""
    return (shares.astype(np.float64) * 2.0**-TABLE_BITS).astype(np.float32)


def _grid(values: Floats, stage: Stage) -> Floats:
    return values.reshape(len(values), stage.inputs, stage.size, stage.size)


def _patches(values: Floats, stage: Stage) -> Floats:
    """Of each pixel the 3x3 around it, of every channel: (rows * pixels, 9 * channels)."""
    bordered = np.pad(_grid(values, stage), ((0, 0), (0, 0), (1, 1), (1, 1)))
    around = np.lib.stride_tricks.sliding_window_view(bordered, (3, 3), axis=(2, 3))
    return around.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 9 * stage.inputs)


def _images(made: Floats, stage: Stage) -> Floats:
    """What `_patches` became, channel by channel again."""
    pixels = stage.size * stage.size
    return made.reshape(-1, pixels, stage.outputs).swapaxes(1, 2).reshape(-1, stage.outputs * pixels)


def _pooled(values: Floats, stage: Stage) -> Floats:
    half = stage.size // 2
    cells = values.reshape(len(values), stage.inputs, half, 2, half, 2)
    made: Floats = cells.max(axis=(3, 5)).reshape(len(values), -1)
    return made
