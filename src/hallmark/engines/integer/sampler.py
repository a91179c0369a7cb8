r"""Choosing a token by integers alone, from integer logits.

    d(i)      = min(greatest logit - logit(i), 2^22) * m >> 22, at most 21 * 4096
    m         = floor(R * 10^6 / T), R = round(2^20 * log2(e)), T the temperature in millionths
    weight(i) = 2^-(d(i)/4096) in units of 2^-20, by the artifact's table
    kept      = the first `top_k` by falling logit (ties: lower id first), of these the smallest head that
                holds `top_p` millionths of their weight
    u         = SHA-256("hallmark/sample-integer/v1\0" || u64be seed || u64be step) mod the kept weight

The token is the first kept one, by ascending id, at which the cumulative weight exceeds u. The remainder
favours no token by more than 2^-190. `step` counts generated tokens from 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hallmark.core.hashing import sha256
from hallmark.engines.integer.numbers import EXP2_LIMIT, Floats, Ints
from hallmark.engines.protocol import MILLION, Sampling

SAMPLE_TAG: Final = b"hallmark/sample-integer/v1\0"
LOG2_E: Final = 1_512_775
"""round(2^20 * log2(e))"""
FARTHEST: Final = float(1 << 22)
SHIFT: Final = 22
HOTTEST_COLD: Final = 1000
"""Below a thousandth (in millionths) the temperature counts as a thousandth: products stay below 2^63."""


def draw(seed: int, step: int) -> int:
    """The 256-bit number of a step; `seed` and `step` are uint64."""
    digest = sha256(SAMPLE_TAG, seed.to_bytes(8, "big"), step.to_bytes(8, "big"))
    return int.from_bytes(digest, "big")


def weights(logits: Floats, temperature: int, exp2: Ints) -> Ints:
    """The integer weight of each token."""
    multiplier = LOG2_E * MILLION // max(temperature, HOTTEST_COLD)
    away = np.minimum(logits.max() - logits, FARTHEST).astype(np.int64)
    shares: Ints = exp2[np.minimum(away * multiplier >> SHIFT, EXP2_LIMIT)]
    return shares


def choose(logits: Floats, sampling: Sampling, exp2: Ints, *, seed: int, step: int) -> int:
    """Token id for one row of integer logits; the greatest at temperature 0 (ties: lower id)."""
    if sampling.temperature == 0:
        return int(np.argmax(logits))
    shares = weights(logits, sampling.temperature, exp2)
    if sampling.top_k or sampling.top_p < MILLION:
        shares = _kept(logits, shares, sampling)
    cumulative = np.cumsum(shares)
    return int(np.searchsorted(cumulative, draw(seed, step) % int(cumulative[-1]), side="right"))


def _kept(logits: Floats, shares: Ints, sampling: Sampling) -> Ints:
    """The weights with those of tokens that are cut off set to zero."""
    order = np.argsort(-logits, kind="stable")
    order = order[: sampling.top_k] if sampling.top_k else order
    cumulative = np.cumsum(shares[order])
    wanted = int(cumulative[-1]) * sampling.top_p  # compared in units of a millionth of one weight
    head = int(np.searchsorted(cumulative * MILLION, wanted, side="left")) + 1
    kept = np.zeros_like(shares)
    kept[order[:head]] = shares[order[:head]]
    return kept
