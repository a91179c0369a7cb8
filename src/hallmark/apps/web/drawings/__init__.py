"""Pictures of what the views say, as inline SVG: pure functions from a view to `Markup`.

Every one is an image with a `<title>` and a `<desc>`, labelled directly, without style attributes (classes
are in static/drawings.css), in ink, hairline, ochre and red: green and blue are for struck marks alone. A
picture adds no word about marks; the page sets the same facts beside it as text. Nothing to draw gives an
empty `Markup`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from markupsafe import Markup

from hallmark.apps.web.drawings.bands import draw_bands
from hallmark.apps.web.drawings.exposure import draw_exposure
from hallmark.apps.web.drawings.histogram import draw_histogram
from hallmark.apps.web.drawings.history import draw_history
from hallmark.apps.web.drawings.lineage import draw_lineage
from hallmark.apps.web.drawings.route import draw_route
from hallmark.apps.web.drawings.timeline import draw_timeline

DRAWINGS: Final[Mapping[str, Callable[..., Markup]]] = {
    "draw_timeline": draw_timeline,
    "draw_lineage": draw_lineage,
    "draw_route": draw_route,
    "draw_histogram": draw_histogram,
    "draw_bands": draw_bands,
    "draw_history": draw_history,
    "draw_exposure": draw_exposure,
}
"""Every drawing by the name under which templates call it."""

__all__ = [
    "DRAWINGS",
    "draw_bands",
    "draw_exposure",
    "draw_histogram",
    "draw_history",
    "draw_lineage",
    "draw_route",
    "draw_timeline",
]
