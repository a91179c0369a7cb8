"""A draft and a cleared answer are different types: a type checker keeps them apart."""

from __future__ import annotations

from pathlib import Path

from mypy import api

PROGRAM = """
from typing import Any
from hallmark import Cleared, Client

def publish(answer: Cleared[Any]) -> None:
    print(answer.text)

client = Client("http://127.0.0.1:1")
publish(client.ask("Which?", model="digits", require="witnessed"))
publish(client.ask("Which?", model="digits"))
"""


def test_a_draft_cannot_be_published(tmp_path: Path) -> None:
    """Mypy accepts an answer that was required to be witnessed where a Cleared is wanted, and no draft."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    draft = len(PROGRAM.splitlines())
    root = Path(__file__).parents[3]
    options = ["--config-file", str(root / "pyproject.toml"), "--cache-dir", str(root / ".mypy_cache")]
    told, errors, status = api.run([*options, str(program)])
    assert errors == ""
    assert status == 1
    (found,) = (line for line in told.splitlines() if ": error: " in line)
    assert f"program.py:{draft}: error: " in found
    assert 'expected "Cleared[Any]"' in found
