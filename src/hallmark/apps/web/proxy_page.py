"""The status page of `hallmark proxy`: the struct that its JSON twin shows, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hallmark.apps.web.assets import TYPES
from hallmark.apps.web.marks import Drawer
from hallmark.apps.web.render import environment
from hallmark.services.proxy.standing import Standing

STATIC: Final = Path(__file__).parent / "static"
FILES: Final = frozenset(("hallmark.css", "marks.css", "mark.svg"))


def page(standing: Standing) -> bytes:
    """The page's HTML."""
    made = environment()
    text = made.get_template("proxy.html").render(view=standing, marks=Drawer(made))
    return text.encode()


def asset(name: str) -> tuple[bytes, bytes] | None:
    """A file that the page uses, with its media type; None for every other name."""
    if name not in FILES:
        return None
    path = STATIC / name
    return path.read_bytes(), TYPES[path.suffix].encode()
