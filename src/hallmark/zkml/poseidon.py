"""Poseidon over BN254's scalar field with three state words.

Source: Grassi et al., "Poseidon", USENIX Security 2021, whose appendix on the Grain LFSR makes the
parameters: x^5, 8 full and 57 partial rounds for 128 bits. Circom's libraries use the same; vectors in the
tests hold that.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

FIELD: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""The order of BN254's groups: what a circuit calculates in."""
WIDTH, FULL, PARTIAL, BITS = 3, 8, 57, 254
TAPS: Final = (62, 51, 38, 23, 13, 0)

Row = tuple[int, ...]


@functools.cache
def parameters() -> tuple[Row, tuple[Row, ...]]:
    """Round constants, three a round, and the rows of the mixing matrix."""
    bits = _grain()
    constants: list[int] = []
    while len(constants) < WIDTH * (FULL + PARTIAL):
        value = _take(bits)
        if value < FIELD:
            constants.append(value)
    while True:
        names = [_take(bits) % FIELD for _ in range(2 * WIDTH)]
        left, right = names[:WIDTH], names[WIDTH:]
        sums = [(a + b) % FIELD for a in left for b in right]
        if len(set(names)) == 2 * WIDTH and all(sums):
            break
    matrix = tuple(tuple(pow(a + b, -1, FIELD) for b in right) for a in left)
    return tuple(constants), matrix


def hash2(first: int, second: int) -> int:
    """Poseidon of two field elements; the result is the first word of the state."""
    constants, matrix = parameters()
    state = [0, first % FIELD, second % FIELD]
    for turn in range(FULL + PARTIAL):
        state = [(word + constants[WIDTH * turn + at]) % FIELD for at, word in enumerate(state)]
        boxed = WIDTH if turn < FULL // 2 or turn >= FULL // 2 + PARTIAL else 1
        state[:boxed] = [pow(word, 5, FIELD) for word in state[:boxed]]
        state = [sum(m * word for m, word in zip(row, state, strict=True)) % FIELD for row in matrix]
    return state[0]


def commit(domain: int, salt: int, words: Sequence[int]) -> int:
    """A hiding commitment: the chain h = P(h, word) from h = P(salt, domain + 256 * number of words)."""
    value = hash2(salt, domain + 256 * len(words))
    for word in words:
        value = hash2(value, word)
    return value


def _grain() -> Iterator[int]:
    state: list[int] = []
    for value, size in ((1, 2), (0, 4), (BITS, 12), (WIDTH, 12), (FULL, 10), (PARTIAL, 10), (2**30 - 1, 30)):
        state += [value >> at & 1 for at in reversed(range(size))]

    def step() -> int:
        bit = 0
        for tap in TAPS:
            bit ^= state[tap]
        state.append(bit)
        del state[0]
        return bit

    for _ in range(160):
        step()
    while True:
        kept, bit = step(), step()
        if kept:
            yield bit


def _take(bits: Iterable[int]) -> int:
    value, source = 0, iter(bits)
    for _ in range(BITS):
        value = value << 1 | next(source)
    return value
