"""The source that defines what a fold finds, as one digest: see `hallmark.verification.state_version`.

    python -m hallmark.testing.fold_rules           raises RULES where the source is another than was noted
    python -m hallmark.testing.fold_rules --same    only notes it: every log gives the state that it gave

The source is that of the fold, of what judges evidence, and of every module of this project that they import.
Comments, docstrings and blank lines do not count.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hallmark.core.hashing import sha256
from hallmark.verification import state_version

SOURCE: Final = Path(__file__).parents[2]
FROM: Final = ("hallmark.verification.fold",)
JUDGES: Final = "hallmark.attestation"
"""What judges evidence is loaded by kind: every module of this package, and not of those below it."""
WORDS: Final = frozenset(("hallmark.verification.reasons", "hallmark.verification.wording"))
"""What is only said to people."""
NOTED: Final = Path(state_version.__file__)
NUMBERS: Final = re.compile(r"^(RULES|CODE): Final = .*$", re.MULTILINE)


def code() -> str:
    """The digest of the source, 64 hexadecimal digits."""
    parts = [f"{name}\n{plain(path.read_text())}" for name, path in sorted(_modules().items())]
    return sha256("\n".join(parts).encode()).hex()


def plain(source: str) -> str:
    """A module's source without what only people read, and without the two constants that are noted here."""
    lines = NUMBERS.sub("", source).splitlines()
    for first, last in _docstrings(source):
        lines[first:last] = [""] * (last - first)
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        if token.type == tokenize.COMMENT:
            line, at = token.start
            lines[line - 1] = lines[line - 1][:at]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _docstrings(source: str) -> Iterator[tuple[int, int]]:
    """Lines from, and up to, of every string that is a statement."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                yield node.lineno - 1, node.end_lineno or node.lineno


def _modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    judges = SOURCE.joinpath(*JUDGES.split("."))
    waiting = [*FROM, JUDGES, *(f"{JUDGES}.{path.stem}" for path in judges.glob("*.py"))]
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name not in found and name not in WORDS and path is not None:
            found[name] = path
            waiting += _imported(path)
    return found


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hallmark"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _path(name: str) -> Path | None:
    at = SOURCE.joinpath(*name.split("."))
    found = (at.with_suffix(".py"), at / "__init__.py")
    return next((path for path in found if path.is_file()), None)


def main() -> None:
    """Write the digest, and the number unless it stays."""
    found = code()
    rules = state_version.RULES + (found != state_version.CODE and "--same" not in sys.argv[1:])
    values = {"RULES": str(rules), "CODE": f'"{found}"'}
    text = NOTED.read_text()
    NOTED.write_text(NUMBERS.sub(lambda one: f"{one[1]}: Final = {values[one[1]]}", text))
    print(f"RULES is {rules}.")


if __name__ == "__main__":
    main()
