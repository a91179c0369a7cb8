"""Exposure: what rests on few hands or is not yet covered, a line each; shares of a whole as a bar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from hallmark.apps.web.drawings.svg import element, percent, text, wide_drawing
from hallmark.services.review.views import Fact

ROW, TOP, BAND = 44.0, 4.0, 8.0
NARROW: Final = 300.0
_SHARE: Final = re.compile(r"(\d[\d,]*) of (\d[\d,]*)")


def draw_exposure(facts: Sequence[Fact]) -> Markup:
    """One row per fact. A value that says "3 of 4 ..." is drawn as that share, any other stays words."""
    if not facts:
        return Markup("")
    return wide_drawing(
        "exposure",
        *(_row(fact, TOP + ROW * number) for number, fact in enumerate(facts)),
        title="Exposure",
        desc="; ".join(f"{fact.name}: {fact.value}" for fact in facts) + ".",
        height=TOP + ROW * len(facts),
    )


def share_of(value: str) -> float | None:
    """The share that "3 of 4 ..." names, 0 to 1; None for anything else."""
    found = _SHARE.match(value.strip())
    if found is None:
        return None
    part, whole = (int(digits.replace(",", "")[:18]) for digits in found.groups())
    return min(1.0, part / whole) if whole else None


def _row(fact: Fact, y: float) -> Markup:
    share = share_of(fact.value)
    parts = [
        element("title", f"{fact.name}: {fact.value}"),
        text(0, y + 12, fact.name, kind="hd-note", room=NARROW),
    ]
    if share is None:
        parts.append(text(0, y + 28, fact.value, kind="hd-said", room=NARROW))
        return element("g", *parts)
    parts.append(text("100%", y + 12, fact.value, kind="hd-said", anchor="end", room=NARROW / 2))
    parts.append(element("rect", x="0", width="100%", y=y + 18, height=BAND, class_="hd-whole"))
    parts.append(element("rect", x="0", width=percent(share), y=y + 18, height=BAND, class_="hd-bar-full"))
    return element("g", *parts)
