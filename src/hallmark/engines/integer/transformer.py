"""A Llama in integers: one function for prefill, decoding, chunks and batches.

Rows of any number of sequences go through a product together; attention is each sequence's own. As every sum
is exact, how rows are put together cannot change a bit of any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np

from hallmark.core.errors import InvalidInput
from hallmark.engines.integer.numbers import (
    EXP2_LIMIT,
    ONE,
    RESIDUAL_LIMIT,
    SIGMOID_ENTRIES,
    SIGMOID_SHIFT,
    TABLE_BITS,
    Floats,
    Ints,
    Matrix,
    expanded_exp2,
    guard,
    half_up,
    saturate,
)

SCORE_SHIFT: Final = 2.0**-16
"""From a product of two activations (2^-28) to steps of the exp2 table (2^-12)."""
CACHE_STEP: Final = 128
Seen = Callable[[int, Floats], None]
"""Told the residual state of all rows after each layer, from 1 on."""


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `exact.json` says of a language model; `epsilon` is in units of 2^-28."""

    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    context: int
    epsilon: int
    ends: tuple[int, ...]

    @property
    def head(self) -> int:
        """Width of one head."""
        return self.width // self.heads


class Cache:
    """Keys and values of one sequence; `length` positions of them are there."""

    def __init__(self, shape: Shape) -> None:
        self.length = 0
        self._shape = shape
        self._keys = [np.zeros((shape.heads, shape.head, 0))] * shape.layers
        self._values = [np.zeros((shape.heads, 0, shape.head))] * shape.layers

    def extend(self, layer: int, keys: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Put in keys and values (heads, rows, head) behind `length`; all of the layer's, with the new."""
        end = self.length + keys.shape[1]
        room = self._values[layer].shape[1]
        if end > room:
            more = -(-end // CACHE_STEP) * CACHE_STEP
            grown, held = np.zeros((self._shape.heads, self._shape.head, more)), self._keys[layer]
            grown[:, :, :room] = held
            self._keys[layer] = grown
            lengthened = np.zeros((self._shape.heads, more, self._shape.head))
            lengthened[:, :room] = self._values[layer]
            self._values[layer] = lengthened
        self._keys[layer][:, :, self.length : end] = keys.swapaxes(1, 2)
        self._values[layer][:, self.length : end] = values
        return self._keys[layer][:, :, :end], self._values[layer][:, :end]


class Layer(msgspec.Struct, frozen=True):
    """The four products of a layer; the norms' gains are within them."""

    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix


class Tables(msgspec.Struct, frozen=True):
    """What would be functions: exp2 and sigmoid (units of 2^-20), cosines and sines (units of 2^-14)."""

    exp2: Ints
    sigmoid: Ints
    cosine: Ints
    sine: Ints


class Transformer:
    """The model, ready to run. Raises InvalidInput `integer_overflow` where a sum might not be exact."""

    def __init__(
        self, shape: Shape, embedding: Ints, layers: Sequence[Layer], head: Matrix, tables: Tables
    ) -> None:
        self.shape = shape
        self.exp2 = expanded_exp2(tables.exp2)
        self._exp2 = self.exp2.astype(np.float64)
        self._sigmoid = tables.sigmoid.astype(np.float64) * 2.0**-TABLE_BITS
        cosine, sine = (t.astype(np.float64) / ONE for t in (tables.cosine, tables.sine))
        self._cosine = np.stack((cosine, cosine), axis=1)[:, None]  # position, 1, half, head / 2
        self._sine = np.stack((-sine, sine), axis=1)[:, None]
        self._embedding = saturate(embedding.astype(np.float64))
        self._layers, self._head = tuple(layers), head
        self._check()

    def forward(
        self, parts: Sequence[tuple[Cache, Ints]], seen: Seen | None = None, *, every: bool = False
    ) -> Floats:
        """Run the next tokens of each sequence. Integer logits: of each one's last row, or of `every` row.

        Raises nothing for tokens that are within the vocabulary and positions within the context.
        """
        tokens = np.concatenate([tokens for _, tokens in parts])
        places = np.concatenate([np.arange(c.length, c.length + len(t)) for c, t in parts])
        rows: Floats = self._embedding[tokens]
        cosine, sine = self._cosine[places], self._sine[places]
        for number, layer in enumerate(self._layers):
            mixed = self._attend(number, half_up(self._norm(rows) @ layer.qkv.values), cosine, sine, parts)
            rows = saturate(np.add(rows, half_up(mixed @ layer.out.values), out=rows))
            fed = self._feed(half_up(self._norm(rows) @ layer.gate_up.values))
            rows = saturate(np.add(rows, half_up(fed @ layer.down.values), out=rows))
            if seen is not None:
                seen(number + 1, rows)
        for cache, part in parts:
            cache.length += len(part)
        if not every:
            rows = rows[np.cumsum([len(part) for _, part in parts]) - 1]
        return half_up(self._norm(rows) @ self._head.values)

    def _norm(self, rows: Floats) -> Floats:
        """Rows over the root of their mean square, in units of 2^-14."""
        mean = np.einsum("ij,ij->i", rows, rows)
        mean /= self.shape.width
        mean += self.shape.epsilon
        np.sqrt(mean, out=mean)
        np.divide(ONE, mean, out=mean)
        return half_up(rows * mean[:, None])

    def _attend(
        self, layer: int, qkv: Floats, cosine: Floats, sine: Floats, parts: Sequence[tuple[Cache, Ints]]
    ) -> Floats:
        shape, count = self.shape, len(qkv)
        halves = qkv[:, : 2 * shape.width].reshape(count, 2 * shape.heads, 2, shape.head // 2)
        turned = half_up(halves * cosine + halves[:, :, ::-1] * sine)
        turned = turned.reshape(count, 2, shape.heads, shape.head)
        values = qkv[:, 2 * shape.width :].reshape(count, shape.heads, shape.head)
        mixed = np.empty((count, shape.heads, shape.head))
        at = 0
        for cache, part in parts:
            mine = slice(at, at := at + len(part))
            keys, worths = cache.extend(layer, turned[mine, 1].swapaxes(0, 1), values[mine].swapaxes(0, 1))
            mixed[mine] = self._mix(turned[mine, 0].swapaxes(0, 1), keys, worths).swapaxes(0, 1)
        return mixed.reshape(count, shape.width)

    def _mix(self, queries: Floats, keys: Floats, values: Floats) -> Floats:
        """Attention of one sequence's newest rows over all of its positions."""
        scores = queries @ keys
        rows, everything = scores.shape[1:]
        if rows > 1:
            later = np.arange(everything)[None, :] > np.arange(everything - rows, everything)[:, None]
            scores[:, later] = -np.inf
        below = scores.max(axis=2, keepdims=True) - scores
        below *= SCORE_SHIFT
        np.floor(below, out=below)
        np.minimum(below, EXP2_LIMIT, out=below)
        shares = self._exp2.take(below.astype(np.intp))
        mixed = shares @ values
        mixed /= shares.sum(axis=2, keepdims=True)
        return half_up(mixed)

    def _feed(self, both: Floats) -> Floats:
        gate, up = both[:, : self.shape.hidden], both[:, self.shape.hidden :]
        steps = half_up(gate * SIGMOID_SHIFT)
        steps += SIGMOID_ENTRIES // 2
        np.maximum(steps, 0, out=steps)
        np.minimum(steps, SIGMOID_ENTRIES - 1, out=steps)
        opened = half_up(gate * self._sigmoid.take(steps.astype(np.intp)))
        opened *= up
        opened *= 1 / ONE
        return half_up(opened)

    def _check(self) -> None:
        """The guard over every sum of products that this model can make, whatever it is asked."""
        shape, tables = self.shape, np.concatenate((self._cosine.ravel(), self._sine.ravel()))
        if np.abs(tables).max() > 1:
            raise InvalidInput("bad_artifact", "A table of the artifact is out of its range.")
        guard(shape.width * RESIDUAL_LIMIT**2, "norm")
        length = float(np.sqrt(shape.width)) * (ONE + 1)
        for layer in self._layers:
            bounds = layer.qkv.after_norm(length, "queries, keys and values")
            turned = float(bounds[: 2 * shape.width].max()) * 2 + 1
            worth = bounds[2 * shape.width :] + 1
            guard(turned * ONE * 2, "turned queries")
            guard(shape.head * turned**2, "attention scores")
            guard(shape.context * float(1 << TABLE_BITS) * float(worth.max()), "attention's mixture")
            guard(float(layer.out.after(worth, "attention's output").max()), "residual")
            both = layer.gate_up.after_norm(length, "feed-forward's gates")
            gate, up = both[: shape.hidden], both[shape.hidden :]
            guard(float((gate * up).max()) * ONE, "feed-forward's product")
            guard(float(gate.max()) * float(1 << TABLE_BITS), "feed-forward's gate")
            layer.down.after(gate * up / ONE + 1, "feed-forward's output")
        self._head.after_norm(length, "logits")
