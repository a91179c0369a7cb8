"""The house rules that a syntax tree can check."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from hallmark.testing import reasons

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "src" / "hallmark").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
MAX_LINES, MOST_LINES, MAX_FUNCTION, MAX_POSITIONAL = 400, 250, 60, 5
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}


@cache
def code_lines(path: Path) -> int:
    """Lines that are neither blank nor only a comment."""
    return sum(
        1 for line in path.read_text().splitlines() if line.strip() and not line.strip().startswith("#")
    )


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, methods included."""
    return [
        node for node in reasons.nodes_of(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_fit(path: Path) -> None:
    """No file over 400 lines, no function over a screen or with more than five positional parameters."""
    assert code_lines(path) <= MAX_LINES
    assert path.name not in FORBIDDEN_NAMES
    for function in functions(path):
        assert function.end_lineno is not None
        docstring = ast.get_docstring(function, clean=False)
        length = function.end_lineno - function.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
        assert length <= MAX_FUNCTION, f"{function.name} has {length} lines"
        arguments = (*function.args.posonlyargs, *function.args.args)
        positional = [a.arg for a in arguments if a.arg not in ("self", "cls")]
        assert len(positional) <= MAX_POSITIONAL, (
            f"{function.name} takes {len(positional)} positional parameters"
        )


def test_scripts_of_pages_fit() -> None:
    """No TypeScript over 400 lines either, blank ones left out."""
    long = {
        path.name: lines
        for path in (ROOT / "web").rglob("*.ts")
        if (lines := sum(bool(line.strip()) for line in path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_most_files_are_short() -> None:
    """Nine of ten files are under 250 lines."""
    short = sum(code_lines(path) <= MOST_LINES for path in SOURCES)
    assert short >= 0.9 * len(SOURCES)


def test_every_test_says_what_it_shows() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{function.name}"
        for path in TESTS
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_no_environment_is_read_at_import() -> None:
    """No module of the product reads the environment when it is imported."""
    guilty = []
    for path in SOURCES:
        module = reasons.nodes_of(path)[0]
        assert isinstance(module, ast.Module)
        for node in module.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                guilty += [
                    str(path)
                    for part in ast.walk(node)
                    if isinstance(part, ast.Attribute) and part.attr in ("environ", "getenv")
                ]
    assert guilty == []


def test_pure_packages_read_no_clock_disk_or_network() -> None:
    """Core imports nothing that knows the time, the disk, the network or randomness."""
    forbidden = {
        "time",
        "datetime",
        "os",
        "pathlib",
        "socket",
        "random",
        "secrets",
        "asyncio",
        "subprocess",
        "httpx",
    }
    for path in (ROOT / "src" / "hallmark" / "core").rglob("*.py"):
        for node in reasons.nodes_of(path):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & forbidden, path


def test_every_reason_code_is_documented() -> None:
    """docs/reasons.md is what the source says; `python -m hallmark.testing.reasons` writes it."""
    assert (ROOT / "docs" / "reasons.md").read_text() == reasons.document()


def test_reason_codes_are_stable_names() -> None:
    """Reason codes are snake_case."""
    assert {code for code in reasons.raised() if not re.fullmatch(r"[a-z][a-z0-9_]+", code)} == set()


def test_nothing_third_party_or_personal_is_committed() -> None:
    """No vendored folder, no minified bundle, no path of a machine, no registry host is in the repository."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    files = [name for name in listed if name and (ROOT / name).is_file()]
    if not files:
        pytest.skip("this is not a git checkout")
    assert not [name for name in files if "vendor/" in name or ".min." in name or "node_modules/" in name]
    banned = re.compile(
        "|".join(
            (
                "/work" + "/main",
                "registry" + r"\.npmjs",
                "files\\.python" + "hosted",
                "pypi\\.org" + "/simple",
            )
        )
    )
    for name in files:
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".json", ".txt", ".sh", ".mjs", ".sol", ""}
            and os.path.getsize(path) < 2_000_000
        ):
            assert not banned.search(path.read_text(errors="replace")), name


def test_the_map_names_every_package_and_only_what_there_is() -> None:
    """docs/map.md has a line for each package, and every module that it names exists."""
    text = (ROOT / "docs" / "map.md").read_text()
    source = ROOT / "src" / "hallmark"
    packages = {
        str(p.parent.relative_to(source)).replace("/", ".")
        for p in source.rglob("__init__.py")
        if p.parent != source and "static" not in p.parts
    }
    listed = set(re.findall(r"^\| (?:`|\*\*)([\w.]+)(?:`|\*\*) \|", text, re.M)) - {"domain", "base"}
    assert listed == packages
    named = set()
    for braces, plain in re.findall(r"`([\w.]+\.\{[\w,]+\})`|`([a-z]+(?:\.[a-z_]+)+)`", text):
        head, _, tail = (braces or plain).partition("{")
        named |= {head + one for one in tail.rstrip("}").split(",")} if tail else {plain}
    missing = {
        n
        for n in named
        if not (source / n.replace(".", "/")).is_dir()
        and not (source / (n.replace(".", "/") + ".py")).is_file()
    }
    assert not missing
