"""Reading a page's markup in tests: its elements, what they are called, and what is inline."""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec

VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
)


class Element(msgspec.Struct):
    """An element: attributes ("" for those without a value), all text inside it, its ancestors' tags."""

    tag: str
    attributes: dict[str, str]
    above: tuple[str, ...]
    text: str = ""

    @property
    def classes(self) -> frozenset[str]:
        """Its classes."""
        return frozenset(self.attributes.get("class", "").split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        above = tuple(element.tag for element in self._open)
        element = Element(tag, {name: value or "" for name, value in attrs}, above)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        above = tuple(element.tag for element in self._open)
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, above))

    def handle_endtag(self, tag: str) -> None:
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place].tag == tag:
                del self._open[place:]
                return

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data


def elements(markup: str) -> list[Element]:
    """Every element of a page, in order."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader.elements


def inline(markup: str) -> list[str]:
    """What a strict content-security policy would refuse, and what leads to other sites or into script."""
    found = []
    for element in elements(markup):
        if element.tag == "script" and (
            not element.attributes.get("src", "").startswith("/assets/") or element.text
        ):
            found.append(f"script {element.attributes}")
        if element.tag in ("style", "iframe", "object", "embed", "base", "img"):
            found.append(element.tag)
        for name, value in element.attributes.items():
            if name == "style" or name.startswith("on"):
                found.append(f"{element.tag} {name}={value}")
            if name in ("href", "src", "action", "formaction") and not value.startswith(
                ("/", "#", "http://127.0.0.1:")
            ):
                found.append(f"{element.tag} {name}={value}")
    return found
