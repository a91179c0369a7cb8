"""Slots of every model and mode as one stacked band, all on the same scale, each part with its own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from hallmark.apps.web.drawings.svg import element, fitted, percent, text, wide_drawing, width_of
from hallmark.services.explorer.network_views import Slots

NARROW: Final = 300.0
BAND, ROW, TOP = 18.0, 78.0, 4.0
PARTS: Final = (
    ("busy", "hd-busy"),
    ("idle", "hd-idle"),
    ("ineligible", "hd-ineligible"),
    ("offline", "hd-offline"),
)


def draw_bands(slots: Sequence[Slots]) -> Markup:
    """A band per row; its whole length is what is registered, against the largest row."""
    most = max((_total(row) for row in slots), default=0)
    if most <= 0:
        return Markup("")
    rows = [_row(row, most, TOP + ROW * number) for number, row in enumerate(slots)]
    return wide_drawing(
        "bands",
        *rows,
        title="Slots by model and mode",
        desc="; ".join(_told(row) for row in slots) + ". All bands are on one scale.",
        height=TOP + ROW * len(slots),
    )


def _total(row: Slots) -> int:
    return row.idle + row.busy + row.ineligible + row.offline


def _told(row: Slots) -> str:
    return f"{row.model}, {row.mode}: " + ", ".join(f"{getattr(row, name)} {name}" for name, _ in PARTS)


def _row(row: Slots, most: int, y: float) -> Markup:
    parts = [text(0, y + 12, row.mode, room=NARROW, lead=fitted(row.model, NARROW - 80))]
    top, left = y + 20, 0.0
    wanted: list[tuple[float, str]] = []
    for name, kind in PARTS:
        count = getattr(row, name)
        if not count:
            continue
        share = count / most
        parts.append(_band(left, share, top, f"{count} {name}", kind))
        wanted.append((left + share / 2, f"{count} {name}"))
        left += share
    if not wanted:
        parts.append(text(0, top + BAND - 4, "no slot is registered", kind="hd-note"))
    return element("g", *parts, *_labels(wanted, top + BAND))


def _band(left: float, share: float, y: float, words: str, kind: str) -> Markup:
    return element(
        "rect",
        element("title", words),
        x=percent(left),
        width=percent(share),
        y=y,
        height=BAND,
        class_=kind,
    )


def _labels(wanted: Sequence[tuple[float, str]], y: float) -> list[Markup]:
    """Words under their parts, moved apart as far as a narrow screen needs, with a leader to the part."""
    widths = [width_of(words) + 10 for _, words in wanted]
    lefts: list[float] = []
    for (share, _), width in zip(wanted, widths, strict=True):
        lefts.append(max(share * NARROW - width / 2, lefts[-1] + widths[len(lefts) - 1] if lefts else 0.0))
    limit = NARROW
    for number in range(len(lefts) - 1, -1, -1):
        lefts[number] = max(0.0, min(lefts[number], limit - widths[number]))
        limit = lefts[number]
    drawn = []
    for (share, words), left in zip(wanted, lefts, strict=True):
        place = left / NARROW
        foot = (left + min(14.0, width_of(words) / 2)) / NARROW
        drawn.append(
            element("line", x1=percent(share), x2=percent(foot), y1=y + 1, y2=y + 9, class_="hd-leader")
        )
        drawn.append(text(percent(place), y + 21, words, kind="hd-said"))
    return drawn
