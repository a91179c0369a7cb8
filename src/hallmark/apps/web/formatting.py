"""Small texts: identifiers, numbers and links. They escape what they are given."""

from __future__ import annotations

import re
from urllib.parse import quote

from markupsafe import Markup, escape

KEEP = 8
LONG = 20
DIGEST = re.compile(r"0x[0-9a-f]{16,}")
LOCAL = re.compile(r"/(?![/\\])[^\s\\]*")


def short(text: str) -> str:
    """An identifier shortened in its middle: "0x12ab34…89ef01"; short ones stay whole."""
    return text if len(text) <= LONG else f"{text[:KEEP]}\u2026{text[-6:]}"


def copyable(text: str, link: str = "") -> Markup:
    """An identifier that looks short and is copied whole, with no script: its middle is there, but narrow.
    An address is read, and stays whole.

    `link` is a path of this site, or "".
    """
    if "://" in text:
        inner = Markup('<code class="id id-read">{}</code>').format(text)
    elif len(text) <= LONG:
        inner = Markup('<code class="id">{}</code>').format(text)
    else:
        inner = Markup(
            '<code class="id" title="{}"><span>{}</span>'
            '<span class="id-middle">{}</span><span>{}</span></code>'
        ).format(text, text[:KEEP], text[KEEP:-6], text[-6:])
    return link_to(inner, link) if link else inner


def party(text: str) -> Markup:
    """Who says or did something: an address as an identifier, anything else as it is."""
    return copyable(text) if text.startswith("0x") else escape(text)


def link_to(text: str | Markup, link: str) -> Markup:
    """A link to a path of this site; the text alone when `link` is empty or leads anywhere else."""
    if not LOCAL.fullmatch(link):
        return escape(text)
    return Markup('<a href="{}">{}</a>').format(quote(link, safe="/:?&=%#+,.~-_"), text)


def grouped(number: int) -> str:
    """A whole number as every sentence, command and file here writes it: 12,345."""
    return f"{number:,}"


def plain(code: str) -> str:
    """A code as words: "state_too_low" becomes "state too low"."""
    return code.replace("_", " ")
