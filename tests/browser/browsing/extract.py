"""From a page in a browser to an `Observation` of the claims checker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Page

from hallmark.apps.web.claims import Observation

SCRIPT = (Path(__file__).parent / "extract.js").read_text()
# Somebody else's words: they are theirs, however loud; a page only has to frame them as such.
QUOTED = (
    "[data-quoted]",
    "textarea",
    ".quoted",
    ".c-bubble",
    ".c-content",
    "pre.x-exact",
)
# Where a person's own words are the names of buttons: titles of their own conversations.
OWNED = (".c-list",)


class Plan(msgspec.Struct, frozen=True):
    """How to read a page: the subjects that it may speak of, its own, and which parts speak of another."""

    subjects: Sequence[str] = ()
    main: str = ""
    assign: Sequence[tuple[str, str]] = ()
    quoted: Sequence[str] = QUOTED
    owned: Sequence[str] = OWNED
    words: bool = True
    paints: bool = True
    inMain: bool = False


def observe(page: Page, surface: str, plan: Plan) -> Observation:
    """What the page shows now."""
    return taken(surface, page.evaluate(SCRIPT, msgspec.to_builtins(plan)))


def taken(surface: str, found: str) -> Observation:
    """The observation that the script's JSON holds."""
    parts: dict[str, Any] = msgspec.json.decode(found)
    return msgspec.convert({"surface": surface, **parts}, Observation)


def swapped(page: Page, url: str, plan: Plan) -> Observation:
    """What the page at `url` shows, its body put in the place of this one's: as a visit, but for its scripts.

    Styles stay loaded, which makes hundreds of combinations affordable; a test compares it with real visits.
    """
    script = f"""async ([url, plan]) => {{
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(`${{answer.status}} ${{url}}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = fresh.title;
      document.body.replaceWith(document.adoptNode(fresh.body));
      return ({SCRIPT})(plan);
    }}"""
    return taken(url, page.evaluate(script, [url, msgspec.to_builtins(plan)]))
