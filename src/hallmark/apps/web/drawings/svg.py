"""SVG elements as escaped `Markup`, and labels that fit the room they have.

Widths of words are estimated for a 12 px sans serif, on the generous side: nothing here measures fonts.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Final

from markupsafe import Markup, escape

WIDTH: Final = 340
"""Natural width of the strips in px: what a 360 px screen shows without scaling."""
EM: Final = 12.0
BOLD: Final = 1.08
LEAD_GAP: Final = 6.0
_DIGEST: Final = re.compile(r"0x[0-9a-f]{16,}")
_THIN: Final = frozenset("iljtfrI.,:;|!'`()[]{} /\\-\u00b7")
_BROAD: Final = frozenset("mwMW@%\u2026\u2014")


def element(name: str, *children: str | Markup, **attributes: str | float) -> Markup:
    """An element. `class_` stands for class, `_` for `-` elsewhere; text is escaped, `Markup` is not.

    Raises ValueError for a number that is not finite.
    """
    told = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
    )
    inner = Markup("").join(
        child if isinstance(child, Markup) else escape(clean(child)) for child in children
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, told, inner)


def drawing(name: str, *children: Markup, title: str, desc: str, height: float) -> Markup:
    """A strip of the natural width, which shrinks with a narrow screen and never grows."""
    return element(
        "svg",
        element("title", title),
        element("desc", desc),
        *children,
        class_=f"hd hd-{name}",
        role="img",
        viewBox=f"0 0 {WIDTH} {number(height)}",
        width=WIDTH,
        height=height,
    )


def wide_drawing(name: str, *children: Markup, title: str, desc: str, height: float) -> Markup:
    """A drawing as wide as its place; x is given in percent so that words keep their size."""
    return element(
        "svg",
        element("title", title),
        element("desc", desc),
        *children,
        class_=f"hd hd-wide hd-{name}",
        role="img",
        width="100%",
        height=height,
    )


def text(
    x: float | str,
    y: float,
    words: str,
    *,
    room: float = 1e6,
    kind: str = "",
    anchor: str = "",
    lead: str = "",
) -> Markup:
    """Words at a baseline, cut to `room` px; what was cut is whole in its own title.

    `lead` stands before them in bold; `kind` is a class, of which `hd-strong` and `hd-warn` are bold.
    """
    told = clean(words)
    first = clean(lead)
    if first:
        room -= width_of(first) * BOLD + LEAD_GAP
    shown = fitted(told, room / BOLD if kind in ("hd-strong", "hd-warn") else room)
    attributes: dict[str, str | float] = {"x": x, "y": y}
    if kind:
        attributes["class_"] = kind
    if anchor:
        attributes["text_anchor"] = anchor
    parts: list[Markup | str] = [] if shown == told else [element("title", f"{first} {told}".strip())]
    if first:
        parts += [element("tspan", first, class_="hd-strong"), element("tspan", shown, dx=LEAD_GAP)]
    else:
        parts.append(shown)
    return element("text", *parts, **attributes)


def number(value: float) -> str:
    """A coordinate with at most two decimals. Raises ValueError when it is not finite."""
    if not math.isfinite(value):
        raise ValueError("A coordinate is not a finite number.")
    told = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if told in ("-0", "") else told


def percent(share: float) -> str:
    """A share (0 to 1) as an x coordinate or a width."""
    return number(100 * min(1.0, max(0.0, share))) + "%"


def clean(words: str) -> str:
    """One line without characters that reorder, hide or break what is shown."""
    return "".join(_plain(character) for character in words)


def width_of(words: str) -> float:
    """Estimated width of words in px."""
    return EM * sum(_advance(character) for character in words)


def fitted(words: str, room: float) -> str:
    """As much of the words as fits into `room` px, with an ellipsis where they are cut."""
    if width_of(words) <= room:
        return words
    left, kept = room - width_of("\u2026"), ""
    for character in words:
        left -= EM * _advance(character)
        if left < 0:
            break
        kept += character
    return kept.rstrip() + "\u2026"


def middle(identifier: str, head: int = 8, tail: int = 6) -> str:
    """An identifier shortened in the middle."""
    if len(identifier) <= head + tail + 1:
        return identifier
    return f"{identifier[:head]}\u2026{identifier[-tail:]}"


def shortened(words: str) -> str:
    """Words with every long identifier in them shortened in its middle."""
    return _DIGEST.sub(lambda found: middle(found[0]), words)


def _value(value: str | float) -> str:
    return clean(value) if isinstance(value, str) else number(value)


def _plain(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character


def _advance(character: str) -> float:
    if character in _THIN:
        return 0.36
    if character in _BROAD:
        return 0.95
    if unicodedata.east_asian_width(character) in ("W", "F"):
        return 1.1
    if unicodedata.combining(character):
        return 0.0
    return 0.72 if character.isupper() else 0.585 if ord(character) < 0x2000 else 0.9
