"""Collect the facts that the pydoc model learns: names of the standard library, first sentences, signatures.

Everything comes from the running interpreter's own documentation (docstrings, `inspect.signature`,
`pydoc_data.topics`), so the text varies with the Python version; the version is written into the file.

    python models/pydoc/facts.py            # rewrites facts.json
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import json
import platform
import re
import tomllib
import types
import warnings
import zlib
from pathlib import Path
from pydoc_data.topics import topics

HERE = Path(__file__).resolve().parent

_SOURCES = tomllib.loads((HERE / "sources.toml").read_text(encoding="utf-8"))
WHOLE_MODULES: list[str] = _SOURCES["whole_modules"]
MEMBERS_OF: list[str] = _SOURCES["members_of"]
METHODS_OF: list[str] = _SOURCES["methods_of"]
EXTRA: list[str] = _SOURCES["extra"]
KEYWORDS: dict[str, tuple[str, str]] = _SOURCES["keywords"]
OBSCURE = re.compile("|".join(_SOURCES["obscure"]))

MAX_SENTENCE = 195
MAX_KEYWORD_SENTENCE = 230
MAX_SIGNATURE = 64
LEFT_OUT = 900
SKIP = re.compile(
    r"(alias for|see |this (class|method|function) is deprecated|internal|deprecated)", re.IGNORECASE
)
ODD = re.compile(r"====|^\w+(\(| = )|^An enumeration|Read \*|\)\. [a-z]|\w\(\) -> |\x00|  |^:|\w\. \w+ = ")
# What a docstring begins with when it shows the call first: `name(parameters) -> what it gives.  Then text.`
CALL = re.compile(r"[\w.]+\(.*?\)(?=$|\s*-|\s*$)(\s*--?>?\s*((None|\w)\.\0?\s+|\w, )?)?")
SENTENCE = re.compile(r".+?([.:](?= [A-Z(-]| *$|\x00))")


def first_sentence(doc: str) -> str | None:
    """Return the first full sentence of a docstring in one line, or None where it has none fit to learn."""
    paragraphs = [
        [line.strip() for line in part.splitlines()] for part in inspect.cleandoc(doc).split("\n\n")
    ]
    lines = paragraphs[0]
    if CALL.match(lines[0] if lines else ""):
        if len(lines) > 1 and lines[0].endswith(")") and lines[1][:1].isupper():
            lines = lines[1:]
        elif len(paragraphs) > 1 and "".join(paragraphs[1])[:1].isupper():
            lines = paragraphs[1]
        elif len(lines) > 1 and CALL.match(lines[1]):
            lines = lines[:1]
    paragraph = " ".join(" ".join(lines).replace(".  ", ".\0 ").split())
    if call := CALL.match(paragraph):
        paragraph = paragraph[call.end() :]
    found = SENTENCE.match(paragraph)
    sentence = (found.group(0) if found else paragraph).rstrip(" :.;,\0") + "."
    sentence = re.sub(r"^\w+(\.py)?( module)? --? ", "", sentence)
    odd = not sentence.isascii() or sentence[0] in "<>*-=" or sentence.count("(") > sentence.count(")")
    if odd or not 14 <= len(sentence) <= MAX_SENTENCE or SKIP.match(sentence) or ODD.search(sentence):
        return None
    return sentence[0].upper() + sentence[1:]


def signature_of(name: str, obj: object) -> str | None:
    """Return `name(parameters)` as `inspect` reports it, or None where it has none fit to learn."""
    try:
        text = str(inspect.signature(obj))  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return None
    text = text.split(" ->")[0]
    if " at 0x" in text or "<" in text or len(text) + len(name) > MAX_SIGNATURE or not text.isascii():
        return None
    return name + text


def kind_of(obj: object) -> str:
    """Name what an object is, in the word that people use in questions."""
    if isinstance(obj, types.ModuleType):
        return "module"
    if isinstance(obj, type):
        return "exception" if issubclass(obj, BaseException) else "class"
    return "function"


def fact(name: str, obj: object, *, kind: str | None = None) -> dict[str, str] | None:
    """Make one fact of an object, or None where its documentation is unfit."""
    doc = obj.__doc__
    if not isinstance(doc, str):
        return None
    sentence = first_sentence(doc)
    if sentence is None or sentence.rstrip(".").lower() == name.rpartition(".")[2].lower():
        return None
    made = {"name": name, "kind": kind or kind_of(obj), "text": sentence}
    signature = signature_of(name, obj) if made["kind"] in ("function", "method", "class") else None
    return made | ({"signature": signature} if signature else {})


def keyword_facts() -> list[dict[str, str]]:
    """Make facts of the keywords, each the sentence of the language reference that `KEYWORDS` points to."""
    facts = []
    for word, (topic, opening) in KEYWORDS.items():
        plain = " ".join(topics[topic].replace("\u2014", "-").replace("\u2019", "'").split())
        start = plain.find(opening)
        found = re.match(r'.+?(:(?= )|\.(?= [A-Z"(]|$))', plain[start:]) if start >= 0 else None
        sentence = found.group(0).rstrip(":.") + "." if found else ""
        if 30 <= len(sentence) <= MAX_KEYWORD_SENTENCE and sentence.isascii():
            facts.append({"name": word, "kind": "keyword", "text": sentence})
    return facts


def public_members(module: types.ModuleType) -> list[str]:
    """List a module's public names: `__all__`, or what carries documentation and no leading underscore."""
    names = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
    return sorted(set(names))


def belongs(obj: object, module: types.ModuleType) -> bool:
    """Tell whether a member is the module's own, not an import that leaked into its name space."""
    home = getattr(obj, "__module__", None) or module.__name__
    own = home.lstrip("_").split(".")[0] in (
        module.__name__.split(".")[0],
        "posix",
        "posixpath",
        "genericpath",
    )
    return (
        own
        or home.startswith("_")
        or (home in ("abc", "threading") and module.__name__ in ("contextlib", "queue"))
    )


def collect() -> list[dict[str, str]]:
    """Collect every fact, sorted by name, one per name."""
    warnings.simplefilter("ignore")
    found: list[dict[str, str] | None] = list(keyword_facts())
    for name in sorted(n for n in dir(builtins) if not n.startswith("_")):
        if callable(getattr(builtins, name)) and not OBSCURE.match(name):
            found.append(fact(name, getattr(builtins, name)))
    for module_name in WHOLE_MODULES:
        module = importlib.import_module(module_name)
        found.append(fact(module_name, module))
        if module_name in MEMBERS_OF:
            for member in public_members(module):
                obj = getattr(module, member, None)
                if callable(obj) and belongs(obj, module) and not OBSCURE.match(f"{module_name}.{member}"):
                    found.append(fact(f"{module_name}.{member}", obj))
    for name in EXTRA:
        owner_name, _, member = name.rpartition(".")
        found.append(fact(name, getattr(importlib.import_module(owner_name), member)))
    for type_name in METHODS_OF:
        head, _, tail = type_name.rpartition(".")
        owner = getattr(importlib.import_module(head) if head else builtins, tail)
        for member in sorted(n for n in dir(owner) if not n.startswith("_")):
            if callable(getattr(owner, member)):
                found.append(fact(f"{type_name}.{member}", getattr(owner, member), kind="method"))
    unique: dict[str, dict[str, str]] = {}
    for item in found:
        if item is not None:
            unique.setdefault(item["name"], item)
    return [unique[name] for name in sorted(unique)]


def left_out(known: set[str]) -> list[str]:
    """Name real members that no fact is about; the model must refuse them, so they serve as negatives."""
    names = {
        f"{module}.{member}"
        for module in WHOLE_MODULES
        for member in public_members(importlib.import_module(module))
    }
    names = {n for n in names - known if n.isascii() and len(n) < 40}
    return sorted(sorted(names, key=lambda name: zlib.crc32(name.encode()))[:LEFT_OUT])


def main() -> None:
    """Write facts.json beside this file."""
    facts = collect()
    table = {
        "python": platform.python_version(),
        "licence": "PSF-2.0",
        "facts": facts,
        "left_out": left_out({f["name"] for f in facts}),
    }
    (HERE / "facts.json").write_text(json.dumps(table, indent=0, ensure_ascii=True) + "\n", encoding="utf-8")
    print(len(facts), "facts;", sum("signature" in f for f in facts), "with a signature")


if __name__ == "__main__":
    main()
