"""Writes docs/reasons.md from the source: `python -m hallmark.testing.reasons > docs/reasons.md`.

Every reason code is raised somewhere with its plain sentence beside it, or stands in a table of
`hallmark.verification.reasons`. The
document is what the source says, and a test fails when it is not.
"""

from __future__ import annotations

import ast
import functools
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import hallmark
from hallmark.core import errors
from hallmark.verification import reasons

SOURCE = Path(hallmark.__file__).parent
HEAD = """# Reason codes

Every refusal carries a stable code, one plain sentence and, where there is something to do, a hint. Codes
never change their meaning. A name in angle brackets stands for a value. This page is written from the source
(`python -m hallmark.testing.reasons`).

## Errors

The HTTP status is the usual one of its class; a service may answer another where a protocol asks for it (C2SP
witnesses).

| code | status | says | raised in |
|---|---|---|---|
"""
MIDDLE = """
## Checks of entries and receipts

Verdicts of full nodes and failed marks carry these.

| code | speaks against | says |
|---|---|---|
"""


@functools.cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file's syntax tree, the module itself first. Each file is parsed once."""
    # Garbage is looked for every few hundred new objects, and a tree is nothing but new objects.
    collecting = gc.isenabled()
    gc.disable()
    try:
        found: list[ast.AST] = [ast.parse(path.read_text(), str(path))]
        # `ast.walk` in a third of its time: the same nodes in the same order
        for node in found:
            for value in vars(node).values():
                if isinstance(value, ast.AST):
                    found.append(value)
                elif isinstance(value, list):
                    found += [item for item in value if isinstance(item, ast.AST)]
        return tuple(found)
    finally:
        if collecting:
            gc.enable()


@functools.cache
def error_classes() -> dict[str, int]:
    """Every class of the error tree with its HTTP status, subclasses in the product included."""
    found = {
        name: value.status
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.HallmarkError)
    }
    bases = [
        (node.name, base.id, _status(node))
        for path in SOURCE.rglob("*.py")
        for node in nodes_of(path)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    ]
    for _ in range(4):
        found |= {
            name: status or found[base] for name, base, status in bases if base in found and name not in found
        }
    return found


def _status(node: ast.ClassDef) -> int:
    """The HTTP status that a class states itself; 0 when it does not."""
    for line in node.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "status":
            return int(ast.literal_eval(line.value))
    return 0


@functools.cache
def raised() -> dict[str, tuple[int, str, set[str]]]:
    """Reason code to status, sentence and the packages that raise it."""
    classes, found = error_classes(), dict[str, tuple[int, str, set[str]]]()
    for path in sorted(SOURCE.rglob("*.py")):
        package = ".".join(path.relative_to(SOURCE).parts[:-1]) or "hallmark"
        if package.startswith("testing"):
            continue
        for call in _calls(path, set(classes)):
            code = ast.literal_eval(call.args[0])
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            sentence = _text(call.args[1]) if len(call.args) > 1 else ""
            status, known, places = found.get(code, (classes.get(name, 500), "", set()))
            found[code] = (status, known or sentence, places | {package})
    return found


def document() -> str:
    """The whole page."""
    rows = (
        f"| `{code}` | {status} | {sentence} | {', '.join(sorted(places))} |\n"
        for code, (status, sentence, places) in sorted(raised().items())
    )
    checks = (
        f"| `{code}` | {reason.question.value} | {reason.sentence} |\n"
        for code, reason in sorted(reasons.REASONS.items())
    )
    return HEAD + "".join(rows) + MIDDLE + "".join(checks)


def _calls(path: Path, classes: set[str]) -> Iterator[ast.Call]:
    for node in nodes_of(path):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        first = node.args[0]
        is_error = name in classes or (name == "__init__" and len(node.args) > 1)
        if is_error and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield node


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value).replace("|", "\\|")
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _text(part) if isinstance(part, ast.Constant) else f"&lt;{_name(part)}&gt;"
            for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


def _name(part: ast.expr) -> str:
    value = part.value if isinstance(part, ast.FormattedValue) else part
    source = ast.unparse(value)
    words = [
        word
        for word in source.replace("(", " ").replace(")", " ").replace(".", " ").split()
        if word.isidentifier()
    ]
    return words[-1].strip("_").lower() if words else "value"


if __name__ == "__main__":
    sys.stdout.write(document())
