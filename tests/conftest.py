"""What every test starts from."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

# How long examples take to make says how busy the machine is, and nothing of the code.
settings.register_profile("hallmark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hallmark")

RECURSION_LIMIT = 1_000
"""The interpreter's own, which services keep too."""


@pytest.fixture(autouse=True)
def recursion_limit() -> None:
    """Some libraries raise the limit a hundredfold when they are imported; nested JSON then ends the process
    that runs the tests, and no service would ever read it like that.
    """
    sys.setrecursionlimit(RECURSION_LIMIT)
