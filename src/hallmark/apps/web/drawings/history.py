"""Requests that a gateway finished: a bar per part of a range, failures on top, gaps without data."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from hallmark.apps.web.drawings.svg import element, percent, text, wide_drawing
from hallmark.apps.web.formatting import grouped
from hallmark.apps.web.times import span
from hallmark.telemetry.parts import ObservedPart

HEIGHT, TOP, FLOOR = 132.0, 26.0, 104.0
MISSING = 8.0


def draw_history(parts: Sequence[ObservedPart], now: int) -> Markup:
    """A bar per part, all of one length of time, the oldest first; parts without data are dashed."""
    if not any(part.observed for part in parts):
        return Markup("")
    most = max(part.answered + part.failed for part in parts)
    width = 1 / len(parts)
    drawn = [
        element("line", x1="0", x2="100%", y1=FLOOR, y2=FLOOR, class_="hd-floor"),
        *(bar for n, part in enumerate(parts) for bar in _bars(part, n * width, width, max(most, 1))),
        text(0, 14, f"{grouped(most)} requests" if most else "no request in this range", kind="hd-tick"),
        text(0, FLOOR + 18, f"{span(max(now - parts[0].at, 0))} ago", kind="hd-tick"),
        text("100%", FLOOR + 18, "now", kind="hd-tick", anchor="end"),
    ]
    known = sum(part.observed > 0 for part in parts)
    answered, failed = sum(p.answered for p in parts), sum(p.failed for p in parts)
    return wide_drawing(
        "history",
        *drawn,
        title="Requests that this gateway finished",
        desc=f"{answered} answered and {failed} failed; {known} of {len(parts)} parts have data. The highest "
        f"bar stands for {most}.",
        height=HEIGHT,
    )


def _bars(part: ObservedPart, left: float, width: float, most: int) -> list[Markup]:
    if not part.observed:
        return [_bar((left, width), FLOOR - MISSING, MISSING, "hd-offline", "no data")]
    drawn, floor = [], FLOOR
    for count, kind, word in (
        (part.answered, "hd-bar-full", "answered"),
        (part.failed, "hd-ineligible", "failed"),
    ):
        if count:
            tall = max((FLOOR - TOP) * count / most, 1.5)
            drawn.append(_bar((left, width), max(floor - tall, 0.0), tall, kind, f"{count} {word}"))
            floor -= tall
    return drawn


def _bar(place: tuple[float, float], y: float, tall: float, kind: str, words: str) -> Markup:
    left, width = place
    return element(
        "rect",
        element("title", words),
        x=percent(left + width * 0.1),
        width=percent(width * 0.8),
        y=y,
        height=tall,
        class_=kind,
    )
