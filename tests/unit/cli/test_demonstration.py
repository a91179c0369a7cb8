"""The first questions of a new network: what is asked for nothing, and what is paid for."""

from __future__ import annotations

import pytest

from hallmark.apps.cli.demonstration import EVERY, questions
from hallmark.compose.plan import Pricing
from hallmark.compose.pricing import EXAMPLE


@pytest.mark.parametrize(
    ("pricing", "free", "paid"),
    [
        ("small-free", ("digits", "pydoc"), (EXAMPLE,)),
        ("paid", (), EVERY),
        ("free", EVERY, ()),
    ],
)
def test_each_model_is_asked_once(pricing: Pricing, free: tuple[str, ...], paid: tuple[str, ...]) -> None:
    """What the owners' offers call free is asked without a payment, the rest with one, nothing twice."""
    assert questions(pricing) == (free, paid)
    assert sorted((*free, *paid)) == sorted(EVERY)
