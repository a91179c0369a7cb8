"""The trust-gap histogram: how many receipts waited how long for their quorum, with p50 and p99."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from markupsafe import Markup

from hallmark.apps.web.drawings.svg import element, percent, text, wide_drawing
from hallmark.apps.web.formatting import grouped
from hallmark.apps.web.times import MINUS, span
from hallmark.services.explorer.network_views import Bin

HEIGHT, TOP, FLOOR = 190.0, 46.0, 160.0
HALF, MOST = "half within", "99 of 100 within"
NARROW = 300.0
"""Width in px on which labels must not meet."""


def draw_histogram(bins: Sequence[Bin], p50: int = -1, p99: int = -1) -> Markup:
    """A bar per bin, all equally wide; the axis names the bins' own limits, so unequal bins stay honest.

    `p50` and `p99` are ms; -1 leaves them out.
    """
    known = sorted(bins, key=lambda b: b.low)
    most = max((b.count for b in known), default=0)
    if most <= 0:
        return Markup("")
    width = 1 / len(known)
    bars = [_bar(b, number * width, width, most) for number, b in enumerate(known)]
    marks = [
        _percentile(name, value, _share(value, known), row)
        for row, (name, value) in enumerate(((HALF, p50), (MOST, p99)))
        if value >= 0
    ]
    told = [f"{b.count} in {_limit(b.low)} to {_limit(b.high)}" for b in known if b.count]
    said = [f"{name} {span(value)}" for name, value in ((HALF, p50), (MOST, p99)) if value >= 0]
    return wide_drawing(
        "histogram",
        element("line", x1="0", x2="100%", y1=FLOOR, y2=FLOOR, class_="hd-floor"),
        *bars,
        *_most(known, most),
        *_axis(known),
        *marks,
        title="Trust gap: from an answer's last byte to its quorum",
        desc="; ".join([*said, *told]) + "." + _unequal(known),
        height=HEIGHT,
    )


def equal_bins(bins: Sequence[Bin]) -> bool:
    """Whether every bin spans the same number of ms."""
    return len({b.high - b.low for b in bins}) <= 1


def _unequal(bins: Sequence[Bin]) -> str:
    return "" if equal_bins(bins) else " Bars are equally wide though their spans grow."


def _bar(b: Bin, left: float, width: float, most: int) -> Markup:
    tall = (FLOOR - TOP) * b.count / most
    if b.count and tall < 1.5:
        tall = 1.5
    return element(
        "rect",
        element("title", f"{_limit(b.low)} to {_limit(b.high)}: {b.count}"),
        x=percent(left + width * 0.06),
        width=percent(width * 0.88),
        y=FLOOR - tall,
        height=tall,
        class_="hd-bar-full",
    )


def _most(bins: Sequence[Bin], most: int) -> list[Markup]:
    """The count on the highest bar: the scale of all."""
    number = next(n for n, b in enumerate(bins) if b.count == most)
    share = (number + 0.5) / len(bins)
    anchor = "start" if share < 0.12 else "end" if share > 0.88 else "middle"
    return [text(percent(share), TOP - 4, grouped(most), kind="hd-tick", anchor=anchor)]


def _limit(ms: int) -> str:
    """A bin's limit; below zero clocks differ."""
    return (MINUS if ms < 0 else "") + span(ms)


def _share(value: int, bins: Sequence[Bin]) -> float:
    """Where a value stands: within its bin in proportion."""
    if value < bins[0].low:
        return 0.0
    number = max(0, bisect_right([b.low for b in bins], value) - 1)
    b = bins[number]
    within = min(1.0, (value - b.low) / (b.high - b.low)) if b.high > b.low else 0.0
    return (number + within) / len(bins)


def _percentile(name: str, value: int, share: float, row: int) -> Markup:
    at, y = percent(share), 12.0 + 17.0 * row
    anchor = "end" if share > 0.5 else "start"
    return element(
        "g",
        element("line", x1=at, x2=at, y1=y + 4, y2=FLOOR, class_="hd-rule"),
        text(at, y, f"{name} {span(value)}", kind="hd-strong", anchor=anchor),
    )


def _axis(bins: Sequence[Bin]) -> list[Markup]:
    """The bins' limits, as many as fit on a narrow screen."""
    limits = [b.low for b in bins] + [bins[-1].high]
    every = max(1, -(-len(bins) * 58 // int(NARROW)))
    labels = []
    for number, limit in enumerate(limits):
        last = number == len(limits) - 1
        if not last and (number % every or len(limits) - 1 - number < every):
            continue
        share = number / len(bins)
        anchor = "start" if not number else "end" if last else "middle"
        labels.append(text(percent(share), FLOOR + 16, _limit(limit), kind="hd-tick", anchor=anchor))
        labels.append(
            element("line", x1=percent(share), x2=percent(share), y1=FLOOR, y2=FLOOR + 4, class_="hd-floor")
        )
    return labels
