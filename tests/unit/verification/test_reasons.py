"""Reason codes."""

from __future__ import annotations

import ast
from pathlib import Path

import hallmark.verification as package
from hallmark.core.statements import code
from hallmark.verification import dispute_checks, entry_checks, receipt_checks
from hallmark.verification.outcome import NO_SUBJECT
from hallmark.verification.reasons import REASONS

JUDGES = (receipt_checks, entry_checks, dispute_checks)
ELSEWHERE = {
    "beacon_in_future",
    "beacon_unknown",
    "artifact_content",
    "mode_mismatch",
    "mode_not_of_artifact",
}


def _returned() -> set[str]:
    """Every text that a check function can return."""
    found = set()
    for module in JUDGES:
        tree = ast.parse(Path(module.__file__).read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("check_"):
                for node in ast.walk(function):
                    if isinstance(node, ast.Return) and node.value is not None:
                        constants = (c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant))
                        found |= {value for value in constants if isinstance(value, str) and value}
    return found


def _required() -> set[str]:
    """Every reason that the offline examination can raise."""
    found = set()
    root = Path(package.__file__).parent
    for name in ("examination.py", "findings.py"):
        for node in ast.walk(ast.parse((root / name).read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in ("require", "failure", "committed"):
                last = [a.value for a in node.args if isinstance(a, ast.Constant)]
                found |= {value for value in last if isinstance(value, str)}
    return found


def test_every_reason_is_listed() -> None:
    """No check returns a code that people and the log could not look up."""
    assert _returned() - {NO_SUBJECT} <= set(REASONS)
    assert _required() <= set(REASONS)


def test_every_listed_reason_is_used() -> None:
    """No code is listed that nothing can return."""
    used = _returned() | _required() | ELSEWHERE
    text = "".join(
        p.read_text() for p in Path(package.__file__).parent.glob("*.py") if p.name != "reasons.py"
    )
    assert {name for name in REASONS if name not in used and f'"{name}"' not in text} == set()


def test_reasons_fit_a_verdict() -> None:
    """Every code fits the 32 ASCII characters of a verdict, and every sentence is one."""
    for name, reason in REASONS.items():
        assert len(code(name)) == 32
        assert reason.sentence.endswith(".")
        assert "\n" not in reason.sentence
