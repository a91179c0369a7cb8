"""Exposure: what rests on few hands or is not yet covered, a line each; shares of a whole as a bar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from hallmark.apps.web.drawings.svg import element, percent, shortened, text, wide_drawing
from hallmark.services.explorer.shared_views import Fact

ROW, TOP, BAND = 56.0, 4.0, 8.0
NARROW: Final = 300.0
_SHARE: Final = re.compile(r"(\d{1,18}) of (\d{1,18})\b")
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s?%")
_SPACES: Final = str.maketrans("", "", ",\u202f\u00a0")


def draw_exposure(facts: Sequence[Fact]) -> Markup:
    """One row per fact. "3 of 4 ..." and "52 % ..." are drawn as that share, anything else stays words."""
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
    """The share that "3 of 4 ..." or "52.0 % ..." names, 0 to 1; None for anything else."""
    told = value.strip().translate(_SPACES)
    if found := _PERCENT.match(told):
        return min(1.0, float(found[1]) / 100)
    if (found := _SHARE.match(told)) and int(found[2]):
        return min(1.0, int(found[1]) / int(found[2]))
    return None


def _row(fact: Fact, y: float) -> Markup:
    share = share_of(fact.value)
    parts = [
        element("title", f"{fact.name}: {fact.value}"),
        text(0, y + 12, shortened(fact.name), kind="hd-said", room=NARROW),
        text(0, y + 27, fact.value, kind="hd-note", room=NARROW),
    ]
    if share is not None:
        parts.append(element("rect", x="0", width="100%", y=y + 33, height=BAND, class_="hd-whole"))
        parts.append(
            element("rect", x="0", width=percent(share), y=y + 33, height=BAND, class_="hd-bar-full")
        )
    return element("g", *parts)
