"""Small texts: identifiers, numbers and links. They escape what they are given."""

from __future__ import annotations

import re
from urllib.parse import quote

from markupsafe import Markup, escape

from hallmark.core.names import claims_nothing

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
        inner = f'<code class="id id-read">{escape(text)}</code>'
    elif len(text) <= LONG:
        inner = f'<code class="id">{escape(text)}</code>'
    else:
        head, middle, tail = escape(text[:KEEP]), escape(text[KEEP:-6]), escape(text[-6:])
        inner = (
            f'<code class="id" title="{escape(text)}"><span>{head}</span>'
            f'<span class="id-middle">{middle}</span><span>{tail}</span></code>'
        )
    made = Markup(inner)  # noqa: S704 -- every text in it is escaped
    return link_to(made, link) if link else made


def named(text: str, link: str = "") -> Markup:
    """A name that somebody gave: as it is, or in quotation marks where it has a word of a claim in it."""
    if claims_nothing(text):
        return link_to(text, link)
    return link_to(Markup('<q class="quoted" data-quoted>{}</q>').format(text), link)


def party(text: str) -> Markup:
    """Who says or did something: an address as an identifier, anything else as it is."""
    return copyable(text) if text.startswith("0x") else escape(text)


def link_to(text: str | Markup, link: str) -> Markup:
    """A link to a path of this site; the text alone when `link` is empty or leads anywhere else."""
    if not LOCAL.fullmatch(link):
        return escape(text)
    href = escape(quote(link, safe="/:?&=%#+,.~-_"))
    return Markup(f'<a href="{href}">{escape(text)}</a>')  # noqa: S704 -- both are escaped


def grouped(number: int) -> str:
    """A whole number as every sentence, command and file here writes it: 12,345."""
    return f"{number:,}"


def plain(code: str) -> str:
    """A code as words: "state_too_low" becomes "state too low"."""
    return code.replace("_", " ")
