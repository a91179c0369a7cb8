"""The route: a path from hop to hop. Filled: it handled the prompt in clear. Outlined: it did not, by
the node's record. Nodes that were not chosen branch off where the gateway chose; a provider stands beyond
the network's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from hallmark.apps.web.drawings.svg import WIDTH, drawing, element, middle, text
from hallmark.services.explorer.shared_views import Hop, Left, RouteView

MOST: Final = 12
PATH, LABEL, TOP, STEP, SIDE = 24.0, 50.0, 18.0, 50.0, 34.0
EDGE: Final = 34.0
BEYOND: Final = frozenset(("upstream", "provider"))
CHOOSER: Final = "gateway"
PATHS: Final = {"plain": "Plain path", "sealed": "Sealed path", "direct": "Direct path"}
"""Names of `RouteView.path`. The page's views say what each means."""


def draw_route(route: RouteView) -> Markup:
    """The hops from top to bottom; at most 12 nodes beside them, the rest counted. Empty when unknown."""
    if not route.known or not route.hops:
        return Markup("")
    hops = sorted(route.hops, key=lambda hop: hop.role in BEYOND)
    chooser = next((n for n, hop in enumerate(hops) if hop.role == CHOOSER), 0)
    parts: list[Markup] = []
    y, previous = TOP, None
    for number, hop in enumerate(hops):
        if hop.role in BEYOND and (not number or hops[number - 1].role not in BEYOND):
            parts.append(_edge(y - 12))
            y += EDGE
        if hop.beside:
            parts.append(_aside(hop, y))
        elif previous is not None:
            parts.insert(0, element("line", x1=PATH, x2=PATH, y1=previous, y2=y, class_="hd-path"))
        if not hop.beside:
            parts.append(_hop(hop, y))
            previous = y
        y += STEP
        if number == chooser and route.left:
            beside, tall = _beside(route.left, y)
            parts.append(beside)
            y += tall
    path = PATHS.get(route.path, route.path)
    return drawing(
        "route",
        *parts,
        title=f"Route: {path.lower()}",
        desc="; ".join(f"{hop.role} {hop.name}: {hop.told}" for hop in hops) + "." + _left_told(route.left),
        height=y - 14,
    )


def _hop(hop: Hop, y: float) -> Markup:
    name = hop.name or middle(hop.key)
    return element(
        "g",
        element("title", f"{hop.role} {hop.name} {hop.key}: {hop.told}"),
        element("circle", cx=PATH, cy=y, r=8, class_="hd-full" if hop.saw else "hd-hollow"),
        text(LABEL, y - 1, name, room=WIDTH - LABEL, lead=hop.role),
        text(LABEL, y + 14, hop.told, kind="hd-said" if hop.saw else "hd-note", room=WIDTH - LABEL),
    )


def _aside(hop: Hop, y: float) -> Markup:
    """A party that the request did not pass: on a stub beside the path, which runs on behind it."""
    end = LABEL + 8
    return element(
        "g",
        element("title", f"{hop.role} {hop.name} {hop.key}: {hop.told}"),
        element("line", x1=PATH, x2=end - 8, y1=y, y2=y, class_="hd-stub"),
        element("circle", cx=end, cy=y, r=8, class_="hd-full" if hop.saw else "hd-hollow"),
        text(LABEL + 22, y - 1, hop.name or middle(hop.key), room=WIDTH - LABEL - 22, lead=hop.role),
        text(LABEL + 22, y + 14, hop.told, kind="hd-note", room=WIDTH - LABEL - 22),
    )


def _edge(y: float) -> Markup:
    words = "edge of this network; beyond it, assertions"
    return element(
        "g",
        element("line", x1=0, x2=WIDTH, y1=y + 8, y2=y + 8, class_="hd-edge"),
        text(LABEL, y + 22, words, kind="hd-warn", room=WIDTH - LABEL),
    )


def _beside(left: Sequence[Left], y: float) -> tuple[Markup, float]:
    """The nodes that were not chosen, each on a stub off the path, and the height that they take."""
    top = y - 8
    rows = [_stub(one, top + SIDE * number) for number, one in enumerate(left[:MOST])]
    tall = SIDE * len(rows)
    if len(left) > MOST:
        note = f"{len(left) - MOST} more are in the table only."
        rows.append(text(LABEL + 22, top + tall, note, kind="hd-note", room=WIDTH - LABEL - 22))
        tall += 18
    return element("g", *rows, class_="hd-left"), tall


def _stub(left: Left, y: float) -> Markup:
    end = LABEL + 8
    mark = f"M{end - 4:.2f} {y - 4:.2f}l8 8m0 -8l-8 8" if left.tried else f"M{end:.2f} {y - 6:.2f}v12"
    room = WIDTH - LABEL - 22
    what = "tried, failed" if left.tried else "left out"
    return element(
        "g",
        element("title", f"{left.node}: {left.reason}. {left.sentence}"),
        element("line", x1=PATH, x2=end, y1=y, y2=y, class_="hd-stub"),
        element("path", d=mark, class_="hd-against" if left.tried else "hd-bar"),
        text(LABEL + 22, y, f"{middle(left.node)} {what}", kind="hd-said", room=room),
        text(LABEL + 22, y + 13, left.sentence or left.reason, kind="hd-note", room=room),
    )


def _left_told(left: Sequence[Left]) -> str:
    if not left:
        return ""
    told = (f"{middle(one.node)} {'tried' if one.tried else 'left out'}: {one.reason}" for one in left[:MOST])
    return " Not chosen: " + "; ".join(told) + "."
