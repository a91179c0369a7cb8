"""The documentation keeps up with the code: reason codes and steps stand in docs/attestation.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hallmark import attestation
from hallmark.attestation import dcap
from hallmark.testing.reasons import nodes_of

ERRORS = {"VerificationFailed", "InvalidInput", "Undetermined", "Unavailable"}
SOURCE = Path(attestation.__file__).parent
PAGE = Path(__file__).parents[3] / "docs" / "attestation.md"


def calls() -> list[ast.Call]:
    """Every call in the package whose first argument is a text literal."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                found.append(node)
    return found


def literals(names: set[str]) -> set[str]:
    """First arguments of calls to `names`."""
    return {
        call.args[0].value
        for call in calls()
        if isinstance(call.func, ast.Name) and call.func.id in names and isinstance(call.args[0].value, str)
    }


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """Every name in code style on the page."""
    return set(re.findall(r"`([a-z_0-9]+)`", PAGE.read_text()))


def test_every_reason_code_is_documented(documented: set[str]) -> None:
    """A reason code that the package raises is explained on its page."""
    codes = literals(ERRORS) | {reason for _, reason in dcap.REASONS} | {"not_reached", "quote_invalid"}
    assert len(codes) > 60
    assert codes - documented == set()


def test_every_step_is_documented(documented: set[str]) -> None:
    """A step that a verdict can hold is in the table of steps."""
    steps = literals({"Check"})
    assert len(steps) > 12
    assert steps - documented == set()


def test_reason_codes_fit_the_log() -> None:
    """Reasons go into verdict entries, which hold at most 32 ASCII characters."""
    codes = literals(ERRORS) | {reason for _, reason in dcap.REASONS}
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,31}", code) for code in codes)
