"""What every test starts from."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# How long examples take to make says how busy the machine is, and nothing of the code.
settings.register_profile("hallmark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hallmark")

COLLECT_EVERY = 50_000
"""New objects between two collections of garbage, in place of 700."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests and all that they import stay for good: garbage is not looked for among them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_EVERY, 10, 10)
        gc.enable()


RECURSION_LIMIT = 1_000
"""The interpreter's own, which services keep too."""


@pytest.fixture(autouse=True)
def recursion_limit() -> None:
    """Some libraries raise the limit a hundredfold when they are imported; nested JSON then ends the process
    that runs the tests, and no service would ever read it like that.
    """
    sys.setrecursionlimit(RECURSION_LIMIT)
