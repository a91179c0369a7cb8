r"""Choosing a token from logits, in a way that a stranger can repeat from the receipt.

onnxruntime-genai can sample by itself and repeats for equal `random_seed`, but its seed has 31 bits and
its generator is whatever the C++ library brings. Here the draw is arithmetic that fits in this file:

    u(seed, step) = first 53 bits of SHA-256("hallmark/sample/v1\0" || u64be seed || u64be step) / 2^53

Tokens are ordered by falling logit (ties: lower id first), cut to `top_k`, turned into probabilities in
float64 by softmax(logit / temperature), cut to the smallest head that holds `top_p`; the first token whose
cumulative share exceeds u is taken. `step` counts generated tokens from 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hallmark.core.hashing import sha256
from hallmark.engines.protocol import MILLION, Sampling

SAMPLE_TAG = b"hallmark/sample/v1\0"


def uniform(seed: int, step: int) -> float:
    """The draw for a step: a multiple of 2^-53 in [0, 1)."""
    word = sha256(SAMPLE_TAG, seed.to_bytes(8, "big"), step.to_bytes(8, "big"))[:8]
    return float(int.from_bytes(word, "big") >> 11) / float(1 << 53)


def choose(logits: npt.NDArray[np.float32], sampling: Sampling, u: float) -> int:
    """Token id for one row of logits (shape: vocabulary). Greedy when the temperature is 0 (ties: lower
    id).
    """
    if sampling.temperature == 0:
        return int(np.argmax(logits))
    order = _candidates(logits, sampling.top_k)
    scaled = logits[order].astype(np.float64) / (sampling.temperature / MILLION)
    shares = np.exp(scaled - scaled[0])
    cumulative = np.cumsum(shares)
    if sampling.top_p < MILLION:
        kept = int(np.searchsorted(cumulative, cumulative[-1] * (sampling.top_p / MILLION), side="left")) + 1
        cumulative = cumulative[:kept]
    place = int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))
    return int(order[min(place, len(cumulative) - 1)])


def _candidates(logits: npt.NDArray[np.float32], top_k: int) -> npt.NDArray[np.intp]:
    """Token ids by falling logit, ties by id, at most `top_k` (0: all)."""
    order = np.argsort(-logits, kind="stable")
    return order[:top_k] if top_k else order
