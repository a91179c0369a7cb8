"""What was taken off a surface: its words, marks, colours and signs, each with the subject that it stands
with.

A page gives one by a walk through its DOM; mail, webhooks and terminals by `of_text` and `of_json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class Run(msgspec.Struct, frozen=True):
    """Words of a surface.

    `kind` is text, label (ARIA), title, alt, control (the name of a button or link), pseudo (CSS content),
    drawing, document, placeholder, value, key, subject (of a mail) or quoted (somebody else's words).
    `context`
    is the whole line that `text` stands in, marks included. `subject` is the id that it is about, ""
    for none;
    `question` the mark that it stands in, "" outside of marks.
    """

    text: str
    kind: str = "text"
    context: str = ""
    subject: str = ""
    question: str = ""
    visible: bool = True
    where: str = ""


class Paint(msgspec.Struct, frozen=True):
    """A computed colour ("#rrggbb", or "gradient", or "auto" for a control in the browser's own accent)."""

    colour: str
    property: str
    subject: str = ""
    question: str = ""
    where: str = ""


class Sign(msgspec.Struct, frozen=True):
    """A picture, gauge or other drawn thing outside of marks, with every name that its element gives."""

    names: str
    tag: str
    subject: str = ""
    question: str = ""
    where: str = ""


class Struck(msgspec.Struct, frozen=True):
    """A mark as it is drawn. Sizes in CSS px, contrast of its word (and of its outline) against the ground.

    `solid`: an opaque fill over the whole cartouche. `rest` is text in the mark that no part of the contract
    holds, `parts` the classes of its children. `markup` is its HTML with ids neutralised.
    """

    question: str
    state: str
    word: str
    label: str
    title: str
    name: str = ""
    assurance: str = ""
    assertion: str = ""
    colours: tuple[str, ...] = ()
    solid: bool = False
    hatched: bool = False
    word_hidden: bool = False
    qualifier_hidden: bool = False
    size: float = 36.0
    font: float = 12.0
    contrast: float = 21.0
    outline: float = 21.0
    opacity: float = 1.0
    top: float = 0.0
    left: float = 0.0
    rest: str = ""
    parts: tuple[str, ...] = ()
    markup: str = ""


class Row(msgspec.Struct, frozen=True):
    """A row of marks as it stands on a surface. `single`: one mark shown for itself, where all seven
    stand too.
    """

    subject: str
    marks: tuple[Struck, ...]
    single: bool = False
    visible: bool = True
    where: str = ""


class Observation(msgspec.Struct, frozen=True):
    """Everything that was taken off one surface."""

    surface: str
    runs: tuple[Run, ...] = ()
    rows: tuple[Row, ...] = ()
    paints: tuple[Paint, ...] = ()
    signs: tuple[Sign, ...] = ()


def of_text(surface: str, text: str, subject: str = "-", kind: str = "text") -> Observation:
    """Plain text (a mail, a terminal, a PDF's text): paragraphs are its lines, all about `subject`."""
    paragraphs = [" ".join(part.split()) for part in _paragraphs(text)]
    runs = [Run(part, kind, part, subject, where=f"paragraph {n}") for n, part in enumerate(paragraphs)]
    return Observation(surface, tuple(run for run in runs if run.text))


# Members whose values are names that a program compares, not words for a person.
CODES = frozenset(("kind", "mode", "question", "path", "id", "reason", "evidence"))


def of_json(surface: str, value: Any, subject: str = "-") -> Observation:
    """A JSON body: every text with its path, and every key whose value is true (`"approved": true` is a
    claim). What stands under a name of `CODES` is a code.
    """
    return Observation(surface, tuple(_json_runs(value, subject, "$")))


def _paragraphs(text: str) -> Iterator[str]:
    """Lines; those that are indented deeper than the first one of theirs go with it."""
    gathered: list[str] = []
    for line in text.splitlines():
        continues = gathered and line[:1].isspace() and line.strip()
        if not continues and gathered:
            yield " ".join(gathered)
            gathered = []
        gathered.append(line)
    if gathered:
        yield " ".join(gathered)


def _json_runs(value: Any, subject: str, where: str) -> Iterator[Run]:
    if isinstance(value, Mapping):
        line = "; ".join(
            f"{_plain(name)}: {part}" for name, part in value.items() if isinstance(part, str | int)
        )
        for name, part in value.items():
            if part is True:
                yield Run(_plain(name), "key", line, subject, where=f"{where}.{name}")
            elif isinstance(part, str) and name in CODES and " " not in part:
                yield Run(part, "code", part, subject, where=f"{where}.{name}")
            elif isinstance(part, str):
                yield Run(part, "value", f"{_plain(name)}: {part} ({line})", subject, where=f"{where}.{name}")
            else:
                yield from _json_runs(part, subject, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _json_runs(part, subject, f"{where}[{number}]")
    elif isinstance(value, str):
        yield Run(value, "value", value, subject, where=where)


def _plain(name: str) -> str:
    return name.replace("_", " ")
