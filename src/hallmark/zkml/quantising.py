"""From an ONNX graph to the integer model: constants folded, weights rounded, bounds calculated.

Supported: Sub, Add, Mul, Div by constants before the first linear layer; Reshape, Flatten; Conv (stride 1,
the same zero padding on all sides, one group), Gemm, Relu, MaxPool 2x2 after Relu; between two linear layers
a Relu, because bounds go on from 0. Everything after the last linear layer must be one of TAIL. An attribute
that is not looked at is refused, unless it says what is assumed anyway.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from hallmark.core.errors import InvalidInput
from hallmark.zkml.graph import MAX_VALUES, Attribute, Floats, Graph, Node, too_large
from hallmark.zkml.integers import Column, IntegerModel, Integers, Layer

TAIL: Final = {"Softmax", "Sigmoid", "ArgMax", "Squeeze", "GreaterOrEqual", "Cast"}
ELEMENTWISE: Final = {"Sub", "Add", "Mul", "Div"}
LOOKED_AT: Final = {
    "Conv": {"kernel_shape", "pads", "strides", "dilations", "group"},
    "Gemm": {"alpha", "beta", "transA", "transB"},
    "MaxPool": {"kernel_shape", "strides"},
}
ASSUMED: Final[dict[str, dict[str, Attribute]]] = {
    "Conv": {"auto_pad": "NOTSET"},
    "Flatten": {"axis": 1},
    "MaxPool": {
        "auto_pad": "NOTSET",
        "ceil_mode": 0,
        "dilations": [1, 1],
        "pads": [0, 0, 0, 0],
        "storage_order": 0,
    },
    "Reshape": {"allowzero": 0},
}
MAX_COLUMNS: Final = 1024
LARGEST: Final = 2**60


class Recipe(msgspec.Struct, frozen=True):
    """How finely to round: bits of a weight, sign included, of each linear layer, and of an activation."""

    weight_bits: tuple[int, ...]
    activation_bits: int = 8


class Stage(msgspec.Struct, frozen=True):
    """A linear layer as floats, with what follows it."""

    weights: Floats
    bias: Floats
    pad: int
    grid: tuple[int, int, int]
    relu: bool = False
    pool: bool = False


def columns_between(lows: Floats, highs: Floats, bits: int) -> tuple[Column, ...]:
    """Columns whose domain is [low, high], each at the finest scale at which `bits` hold it."""
    found = []
    for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
        shift = next(s for s in range(60, -60, -1) if round(high * 2.0**s) - round(low * 2.0**s) < 2**bits)
        shift = 0 if low.is_integer() and high.is_integer() and shift >= 0 else shift
        first, last = round(low * 2.0**shift), round(high * 2.0**shift)
        found.append(Column(shift, first, max(1, (last - first).bit_length()), last))
    return tuple(found)


def read_stages(graph: Graph) -> tuple[Floats, Floats, list[Stage]]:
    """The scale and the addend of each input (folded elementwise constants), and the linear layers.

    Raises InvalidInput `zk_unsupported_operator`.
    """
    scale, addend = np.ones(1), np.zeros(1)
    stages: list[Stage] = []
    grid = (0, 0, 0)
    value, done = graph.inputs[0] if len(graph.inputs) == 1 else "", False
    for node in graph.nodes:
        if node.op in TAIL:
            done = True
            continue
        if done or not node.inputs or node.inputs[0] != value or len(node.outputs) != 1:
            raise _unsupported(node)
        if not _is_read_whole(node):
            raise _unsupported(node)
        if node.op in ELEMENTWISE and not stages:
            scale, addend = _fold(node, graph.constants[node.inputs[1]], scale, addend)
        elif node.op == "Reshape" and not stages:
            shape = [int(size) for size in graph.constants[node.inputs[1]].tolist()]
            grid = (shape[1], shape[2], shape[3]) if len(shape) == 4 else (0, 0, 0)
        elif node.op in ("Conv", "Gemm") and (not stages or stages[-1].relu):
            stages.append(_linear(node, graph, grid))
            grid = _grid_after(stages[-1])
            if node.op == "Conv" and (min(grid) < 1 or math.prod(grid) > MAX_VALUES):
                raise _unsupported(node)
        elif node.op == "Relu" and stages and not stages[-1].relu:
            stages[-1] = msgspec.structs.replace(stages[-1], relu=True)
        elif node.op == "MaxPool" and stages and _is_pooled(node, stages[-1], grid):
            stages[-1] = msgspec.structs.replace(stages[-1], pool=True)
            grid = (grid[0], grid[1] // 2, grid[2] // 2)
        elif node.op != "Flatten":
            raise _unsupported(node)
        value = node.outputs[0]
    if not stages or stages[-1].relu:
        raise InvalidInput("zk_unsupported_operator", "The graph does not end in a linear layer.")
    return scale, addend, stages


def standardised_range(graph: Graph, deviations: float) -> tuple[Floats, Floats]:
    """The domain of a graph that standardises its input: so many deviations on each side of the mean."""
    scale, addend, _ = read_stages(graph)
    return (-deviations - addend) / scale, (deviations - addend) / scale


def to_integers(graph: Graph, columns: tuple[Column, ...], recipe: Recipe) -> IntegerModel:
    """Round a graph. Raises InvalidInput `zk_unsupported_operator`, `zk_model_too_large`."""
    scale, addend, stages = read_stages(graph)
    if len(columns) > MAX_COLUMNS or len(stages) != len(recipe.weight_bits):
        raise too_large(f"{len(columns)} inputs and {len(stages)} linear layers")
    layers: list[Layer] = []
    # u = q - low is what the circuit sees; x = (u + low) / 2^shift, then scale and addend of the graph.
    steps = np.broadcast_to(scale, len(columns)) / np.array([2.0**c.shift for c in columns])
    offsets = np.array([c.low for c in columns]) * steps + addend
    tops = np.array([2**c.bits - 1 for c in columns], np.int64)
    exponent = 0
    for stage, bits in zip(stages, recipe.weight_bits, strict=True):
        weights, bias = _folded(stage, steps, offsets)
        found = bits - 1 - int(np.ceil(np.log2(np.abs(weights).max())))
        layer, tops = _round(stage, weights * 2.0**found, bias * 2.0 ** (found + exponent), tops)
        if stage.relu and stage is not stages[-1] and not stage.pool:
            layer, tops = _drop(layer, tops, recipe.activation_bits)
        exponent += found - layer.drop
        steps, offsets = np.ones(1), np.zeros(1)
        layers.append(layer)
    return IntegerModel(columns, tuple(layers), exponent)


def _fold(node: Node, constant: Floats, scale: Floats, addend: Floats) -> tuple[Floats, Floats]:
    if node.op in ("Mul", "Div"):
        factor = constant if node.op == "Mul" else 1 / constant
        return scale * factor, addend * factor
    return scale, addend + (constant if node.op == "Add" else -constant)


def _linear(node: Node, graph: Graph, grid: tuple[int, int, int]) -> Stage:
    weights = graph.constants[node.inputs[1]]
    bias = graph.constants[node.inputs[2]] if len(node.inputs) > 2 else np.zeros(1)
    if node.op == "Gemm":
        if (
            any(node.attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta"))
            or node.attributes.get("transA")
            or weights.ndim != 2
        ):
            raise _unsupported(node)
        weights = weights if node.attributes.get("transB") else weights.T
        return Stage(weights, np.broadcast_to(bias, weights.shape[0]), 0, (0, 0, 0))
    pads = node.attributes.get("pads", [0, 0, 0, 0])
    plain = all(
        node.attributes.get(k, d) == d for k, d in (("strides", [1, 1]), ("dilations", [1, 1]), ("group", 1))
    )
    if (
        not plain
        or not isinstance(pads, list)
        or len(pads) != 4
        or len(set(pads)) != 1
        or weights.ndim != 4
        or grid[0] != weights.shape[1]
        or not 0 <= pads[0] < max(weights.shape[2:])
        or max(grid) > MAX_VALUES
        or node.attributes.get("kernel_shape", list(weights.shape[2:])) != list(weights.shape[2:])
    ):
        raise _unsupported(node)
    return Stage(weights, np.broadcast_to(bias, weights.shape[0]), pads[0], grid)


def _grid_after(stage: Stage) -> tuple[int, int, int]:
    if stage.weights.ndim != 4:
        return (0, 0, 0)
    out, _, down, right = stage.weights.shape
    return out, stage.grid[1] + 2 * stage.pad - down + 1, stage.grid[2] + 2 * stage.pad - right + 1


def _is_read_whole(node: Node) -> bool:
    """Whether each attribute is looked at, or says what is assumed anyway."""
    read, assumed = LOOKED_AT.get(node.op, set()), ASSUMED.get(node.op, {})
    return all(
        name in read or (name in assumed and assumed[name] == value)
        for name, value in node.attributes.items()
    )


def _is_pooled(node: Node, stage: Stage, grid: tuple[int, int, int]) -> bool:
    """Whether it is the first pooling after a ReLU, of fields of two by two that fill the grid."""
    if not stage.relu or stage.pool:
        return False
    even = grid[1] % 2 == 0 and grid[2] % 2 == 0 and grid[1] > 0
    return even and node.attributes.get("kernel_shape") == [2, 2] and node.attributes.get("strides") == [2, 2]


def _folded(stage: Stage, steps: Floats, offsets: Floats) -> tuple[Floats, Floats]:
    if stage.weights.ndim == 2:
        width = stage.weights.shape[1]
        bias = stage.bias + stage.weights @ np.broadcast_to(offsets, width)
        return stage.weights * np.broadcast_to(steps, width), bias
    if np.ptp(steps) != 0 or np.any(offsets != 0):
        raise InvalidInput(
            "zk_unsupported_operator", "Before a convolution all inputs must have one scale, from 0."
        )
    return stage.weights * steps.flat[0], stage.bias


def _round(stage: Stage, weights: Floats, bias: Floats, tops: Integers) -> tuple[Layer, Integers]:
    whole = np.rint(weights).astype(np.int64)
    if np.abs(bias).max() > LARGEST:
        raise too_large("numbers of this size")
    added = np.rint(bias).astype(np.int64)
    if whole.ndim == 2:
        up, down = np.maximum(whole, 0), np.minimum(whole, 0)
        tall = tops.astype(object)
        highs, lows = up.astype(object) @ tall + added, down.astype(object) @ tall + added
    else:
        channels = tops.reshape(whole.shape[1], -1).max(axis=1).astype(object)[None, :]
        highs = (np.maximum(whole, 0).sum(axis=(2, 3)).astype(object) * channels).sum(axis=1) + added
        lows = (np.minimum(whole, 0).sum(axis=(2, 3)).astype(object) * channels).sum(axis=1) + added
    if max(map(abs, [*highs, *lows])) > LARGEST:
        raise too_large("numbers of this size")
    layer = Layer(
        whole,
        added,
        stage.relu,
        stage.pool,
        0,
        stage.pad,
        stage.grid,
        tuple(map(int, lows)),
        tuple(map(int, highs)),
    )
    return layer, _spread(stage, np.maximum(np.array(highs, np.int64), 0))


def _spread(stage: Stage, tops: Integers) -> Integers:
    _, rows, columns = _grid_after(stage)
    count = rows * columns // (4 if stage.pool else 1) if stage.weights.ndim == 4 else 1
    return np.repeat(tops, count)


def _drop(layer: Layer, tops: Integers, bits: int) -> tuple[Layer, Integers]:
    drop = max(0, int(tops.max()).bit_length() - bits)
    half = 2**drop // 2
    rounded = msgspec.structs.replace(
        layer,
        drop=drop,
        bias=layer.bias + half,
        lows=tuple(low + half for low in layer.lows),
        highs=tuple(high + half for high in layer.highs),
    )
    return rounded, (tops + half) >> drop


def _unsupported(node: Node) -> InvalidInput:
    return InvalidInput(
        "zk_unsupported_operator",
        f"No circuit is made for the operator {node.op[:40]} at its place.",
        "See docs/zkml.md for the operators.",
    )
