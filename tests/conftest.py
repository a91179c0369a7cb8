"""What every test starts from."""

from __future__ import annotations

import sys

import pytest

RECURSION_LIMIT = 1_000
"""The interpreter's own, which services keep too."""


@pytest.fixture(autouse=True)
def recursion_limit() -> None:
    """Some libraries raise the limit a hundredfold when they are imported; nested JSON then ends the process
    that runs the tests, and no service would ever read it like that.
    """
    sys.setrecursionlimit(RECURSION_LIMIT)
