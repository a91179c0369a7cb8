"""The timeline: what happened in true order, each moment at its true place, with the gap before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from hallmark.apps.web.drawings.axis import Axis
from hallmark.apps.web.drawings.svg import WIDTH, drawing, element, shortened, text
from hallmark.apps.web.times import gap, span
from hallmark.services.explorer.shared_views import Moment

MOST: Final = 40
ROW, TOP, SPINE, LABEL = 38.0, 26.0, 76.0, 112.0
AGAINST: Final = frozenset(("objected", "revoked", "rejected"))
OPEN: Final = frozenset(("appealed", "released", "sampled"))


def draw_timeline(moments: Sequence[Moment]) -> Markup:
    """Moments along a vertical axis that starts at the earliest; at most 40, the rest counted in a line."""
    if not moments:
        return Markup("")
    known = sorted(moments, key=lambda moment: (moment.gap, moment.at))
    left_out = max(0, len(known) - MOST)
    shown = known if not left_out else known[: MOST // 2] + known[-MOST // 2 :]
    length = ROW * max(1, len(shown) - 1)
    axis = Axis.of((moment.gap for moment in shown), length)
    places = [TOP + axis.share(moment.gap) * length for moment in shown]
    labels = spread(places, ROW, TOP, TOP + length)
    parts = [text(0, 11, axis.sentence, kind="hd-note", room=WIDTH), _spine(axis, length)]
    for number, moment in enumerate(shown):
        before = shown[number - 1] if number else None
        parts.append(_moment(moment, before, places[number], labels[number]))
    height = TOP + length + 30
    if left_out:
        height += 16
        note = f"{left_out} moments between them are in the table only."
        parts.append(text(0, height - 4, note, kind="hd-note", room=WIDTH))
    return drawing(
        "timeline",
        *parts,
        title="Timeline, measured from the answer's last byte",
        desc="; ".join(f"{_gap(m)} {m.kind}" for m in shown) + ". " + axis.sentence,
        height=height,
    )


def spread(places: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Places moved as little as is needed to stand `apart`, in the same order, within `low` and `high`."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + apart if moved else low))
    ceiling = high
    for number in range(len(moved) - 1, -1, -1):
        moved[number] = min(moved[number], ceiling)
        ceiling = moved[number] - apart
    return moved


def _spine(axis: Axis, length: float) -> Markup:
    ticks = [
        element(
            "g",
            element(
                "line", x1=SPINE - 5, x2=SPINE, y1=TOP + tick.share * length, y2=TOP + tick.share * length
            ),
            text(SPINE - 9, TOP + tick.share * length + 4, tick.label, kind="hd-tick", anchor="end"),
        )
        for tick in axis.ticks()
    ]
    line = element("line", x1=SPINE, x2=SPINE, y1=TOP, y2=TOP + length)
    return element("g", line, *ticks, class_="hd-axis")


def _moment(moment: Moment, before: Moment | None, place: float, label: float) -> Markup:
    room = WIDTH - LABEL
    later = span(moment.gap - before.gap) + " later" if before else ""
    said = " \u00b7 ".join(part for part in (later, shortened(moment.by)) if part)
    elbow = f"M{SPINE + 7:.2f} {place:.2f}h6L{LABEL - 12:.2f} {label:.2f}h7"
    return element(
        "g",
        element("title", moment.text or moment.kind),
        element("path", d=elbow, class_="hd-leader"),
        _dot(moment.kind, place),
        text(LABEL, label + 4, moment.kind, room=room, lead=_gap(moment)),
        text(LABEL, label + 18, said, kind="hd-note", room=room),
        class_="hd-moment",
    )


def _dot(kind: str, y: float) -> Markup:
    if kind == "answered":
        return element("circle", cx=SPINE, cy=y, r=5.5, class_="hd-full")
    if kind in AGAINST:
        cross = f"M{SPINE - 5:.2f} {y - 5:.2f}l10 10m0 -10l-10 10"
        return element("path", d=cross, class_="hd-against")
    if kind in OPEN:
        lozenge = f"M{SPINE:.2f} {y - 6:.2f}l6 6l-6 6l-6 -6Z"
        return element("path", d=lozenge, class_="hd-open")
    return element("circle", cx=SPINE, cy=y, r=4.5, class_="hd-hollow")


def _gap(moment: Moment) -> str:
    return gap(moment.gap) if moment.gap else "0 ms"
