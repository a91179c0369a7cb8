"""A label's lineage: a strip from its first version to now, torn where it moved to another artifact."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from hallmark.apps.web.drawings.svg import WIDTH, drawing, element, middle, text
from hallmark.apps.web.times import full
from hallmark.services.explorer.shared_views import LineageStep

MOST: Final = 24
LEFT, BREADTH, LABEL = 18.0, 26.0, 60.0
BLOCK, LINE, TEAR, TOP = 44.0, 15.0, 40.0, 6.0
BREAK: Final = "new artifact under the same label"


def draw_lineage(steps: Sequence[LineageStep]) -> Markup:
    """Versions, oldest at the top; at most 24 newest, and always those that the answer or today names."""
    if not steps:
        return Markup("")
    known = sorted(steps, key=lambda step: step.index)
    shown = [s for n, s in enumerate(known) if n >= len(known) - MOST or s.here or s.then or s.now]
    parts: list[Markup] = []
    y = TOP
    if len(shown) < len(known):
        note = f"{len(known) - len(shown)} earlier versions are in the table only."
        parts.append(text(0, y + 8, note, kind="hd-note", room=WIDTH))
        y += 22
    for number, step in enumerate(shown):
        torn = bool(number) and shown[number - 1].artifact != step.artifact
        if torn:
            parts.append(_tear(y))
            y += TEAR
        following = shown[number + 1] if number + 1 < len(shown) else None
        tall = _height(step)
        parts.append(
            _version(step, y, tall, torn_below=bool(following and following.artifact != step.artifact))
        )
        y += tall
    return drawing(
        "lineage",
        *parts,
        title="Lineage of the label",
        desc=_told(shown),
        height=y + 8,
    )


def breaks(steps: Sequence[LineageStep]) -> int:
    """How often the label moved to another artifact."""
    known = sorted(steps, key=lambda step: step.index)
    return sum(a.artifact != b.artifact for a, b in itertools.pairwise(known))


def _notes(step: LineageStep) -> list[str]:
    notes = ["this answer names it"] if step.here else []
    notes += ["the label pointed here when it answered"] if step.then else []
    return notes + (["the label points here now"] if step.now else [])


def _height(step: LineageStep) -> float:
    return BLOCK + LINE * len(_notes(step))


def _version(step: LineageStep, y: float, tall: float, *, torn_below: bool) -> Markup:
    kind = "hd-full" if step.here else "hd-hollow"
    right, bottom = LEFT + BREADTH, y + tall
    edge = _zigzag(right, bottom) if torn_below else f"L{right:.2f} {bottom:.2f}L{LEFT:.2f} {bottom:.2f}"
    outline = f"M{LEFT:.2f} {y:.2f}L{right:.2f} {y:.2f}{edge}Z"
    when = " \u00b7 ".join(
        part
        for part in (full(step.at)[:16] if step.at else "", f"log {step.index}" if step.index >= 0 else "")
        if part
    )
    room = WIDTH - LABEL
    lines = [
        text(LABEL, y + 13, step.version or "no version", kind="hd-strong", room=room),
        text(LABEL, y + 13 + LINE, f"{middle(step.artifact)} \u00b7 {when}", kind="hd-note", room=room),
    ]
    for number, note in enumerate(_notes(step), start=2):
        lines.append(text(LABEL, y + 13 + LINE * number, note, kind="hd-said", room=room))
    title = element("title", f"{step.version}, artifact {step.artifact}")
    return element("g", title, element("path", d=outline, class_=kind), *lines)


def _tear(y: float) -> Markup:
    """The space between two artifacts, with the upper edge of the lower one drawn torn by the block above."""
    middle_y = y + TEAR / 2 + 2
    return element(
        "g",
        element("line", x1=LEFT - 10, x2=LEFT + BREADTH + 10, y1=middle_y, y2=middle_y, class_="hd-break"),
        text(LABEL, middle_y + 4, BREAK, kind="hd-warn", room=WIDTH - LABEL),
        class_="hd-tear",
    )


def _zigzag(right: float, bottom: float) -> str:
    teeth, depth = 4, 7.0
    step = BREADTH / teeth
    told = f"L{right:.2f} {bottom:.2f}"
    for tooth in range(teeth):
        told += f"L{right - step * (tooth + 0.5):.2f} {bottom - depth:.2f}"
        told += f"L{right - step * (tooth + 1):.2f} {bottom:.2f}"
    return told


def _told(steps: Sequence[LineageStep]) -> str:
    said = []
    for number, step in enumerate(steps):
        torn = bool(number) and steps[number - 1].artifact != step.artifact
        notes = ", ".join(_notes(step))
        said.append(
            (f"{BREAK}: " if torn else "") + (step.version or "no version") + (f" ({notes})" if notes else "")
        )
    return "; ".join(said) + "."
