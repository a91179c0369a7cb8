"""Whatever a stranger sends, each decoder and judge ends in a value or in one of our own errors."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.attestation.conftest import forge
from tests.vectors.certificates import cases

from hallmark.testing.fuzzing import Target, mutated, targets

CHAIN = forge()
TARGETS = {
    target.name: target
    for target in targets(
        [*(made.der for made in CHAIN.chain), *(data for _, data in cases())], [CHAIN.document()]
    )
}


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(number=st.integers(0, 2**32), raw=st.binary(max_size=64))
def test_mutated_and_arbitrary_bytes(name: str, number: int, raw: bytes) -> None:
    """Good inputs with changes anywhere, and bytes of no form at all."""
    target: Target = TARGETS[name]
    chance = random.Random(number)
    target.try_(mutated(chance.choice(target.seeds), chance, target.seeds))
    target.try_(raw)


@pytest.mark.parametrize("name", TARGETS)
def test_deep_nesting(name: str) -> None:
    """Input nested a hundred thousand deep is refused by every target, not by the interpreter."""
    for opened in (b"[", b'{"a":', b"\x81", b"\x30\x80", b"\xd8\x37"):
        TARGETS[name].try_((opened * 100_000)[:131_072])


def test_good_inputs_are_taken() -> None:
    """The targets are what they say: their examples mostly end in a value."""
    ends = [target.try_(seed) == "value" for target in TARGETS.values() for seed in target.seeds[:5]]
    assert sum(ends) > len(ends) / 4
