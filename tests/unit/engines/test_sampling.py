"""The committed sampler: what its docstring says, recomputed by hand."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.engines.protocol import MILLION, Sampling
from hallmark.engines.sampling import choose, uniform

LOGITS = np.array([1.0, 3.0, 2.0, 3.0, -1.0], dtype=np.float32)


def test_draws_are_the_documented_ones() -> None:
    """A draw is the first 53 bits of a SHA-256 over tag, seed and step."""
    word = hashlib.sha256(b"hallmark/sample/v1\0" + (7).to_bytes(8, "big") + (3).to_bytes(8, "big")).digest()
    assert uniform(7, 3) == int(bin(int.from_bytes(word, "big") | 1 << 256)[3:56], 2) / 2**53
    assert uniform(7, 3) != uniform(7, 4) != uniform(8, 3)
    assert 0 <= uniform(2**64 - 1, 0) < 1


def test_greedy_takes_the_lower_of_equals() -> None:
    """Without temperature the highest logit wins, the lower id among equals, whatever the draw."""
    assert {choose(LOGITS, Sampling(), u) for u in (0.0, 0.5, 0.999)} == {1}


def test_tokens_follow_in_order_of_their_logits() -> None:
    """The draw walks through tokens by falling logit, equals by id, each as wide as its probability."""
    shares = np.exp(np.sort(LOGITS.astype(np.float64))[::-1] - 3.0)
    edges = np.cumsum(shares) / shares.sum()
    order = [1, 3, 2, 0, 4]
    sampling = Sampling(temperature=MILLION)
    for token, edge, before in zip(order, edges, [0.0, *edges], strict=False):
        assert choose(LOGITS, sampling, before + 1e-9) == token
        assert choose(LOGITS, sampling, edge - 1e-9) == token


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        (Sampling(temperature=MILLION, top_k=1), {1}),
        (Sampling(temperature=MILLION, top_k=3), {1, 3, 2}),
        (Sampling(temperature=MILLION, top_p=0), {1}),
        (Sampling(temperature=MILLION, top_p=390_000), {1}),
        (Sampling(temperature=MILLION, top_p=500_000), {1, 3}),
        (Sampling(temperature=1), {1, 3}),
        (Sampling(temperature=2 * MILLION), {0, 1, 2, 3, 4}),
    ],
)
def test_top_k_top_p_and_temperature_cut(sampling: Sampling, allowed: set[int]) -> None:
    """Only tokens inside the cut are ever drawn, and all of them are."""
    assert {choose(LOGITS, sampling, n / 1000) for n in range(1000)} == allowed


def test_frequencies_are_the_probabilities() -> None:
    """Over forty thousand draws tokens come as often as softmax says, within four standard deviations."""
    sampling = Sampling(temperature=MILLION)
    counts = Counter(choose(LOGITS, sampling, uniform(seed, n)) for seed in range(8) for n in range(5_000))
    shares = np.exp(LOGITS.astype(np.float64))
    for token, share in enumerate(shares / shares.sum()):
        assert abs(counts[token] / 40_000 - share) < 4 * np.sqrt(share * (1 - share) / 40_000)


@given(st.integers(0, 2**64 - 1), st.integers(0, 10_000), st.integers(1, 2_000_000), st.integers(0, MILLION))
def test_a_token_always_comes_out(seed: int, step: int, temperature: int, top_p: int) -> None:
    """No seed, temperature or cut leaves the vocabulary or raises."""
    sampling = Sampling(temperature=temperature, top_p=top_p)
    assert 0 <= choose(LOGITS, sampling, uniform(seed, step)) < len(LOGITS)
