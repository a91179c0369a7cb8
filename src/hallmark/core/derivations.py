"""What the owner of a model says of how it was made from another: by which tool, and what was measured.

It is the owner's word. Nothing here shows that the bytes were made so; who has both artifacts and the tool
can make them again and compare. Figures are integers with a unit, sorted by their names, each name once.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import Document, Uint63
from hallmark.core.errors import InvalidInput

LONGEST_NAME: Final = 100
LONGEST_PARAMETERS: Final = 4_096
MOST_FIGURES: Final = 32


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that was measured: its name, how much in which unit, and over how many cases."""

    name: str
    value: Uint63
    unit: str
    of: Uint63


class Making(Document, frozen=True):
    """The tool, its version, with which parameters it ran (a text, empty: none), and what was measured."""

    TAG = "hallmark/derivation/v1"

    tool: str
    version: str
    parameters: str = ""
    figures: tuple[Figure, ...] = ()


def _named(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def check_making(making: Making) -> None:
    """Raises InvalidInput `bad_derivation` for one that names no tool, or figures out of order."""
    names = [figure.name for figure in making.figures]
    texts = (making.tool, making.version, *names, *(figure.unit for figure in making.figures))
    wrong = {
        not all(map(_named, texts)): f"Tool, version, names and units have 1 to {LONGEST_NAME} printable "
        "characters.",
        len(making.parameters) > LONGEST_PARAMETERS: f"Parameters have at most {LONGEST_PARAMETERS} "
        "characters.",
        not 0 < len(names) <= MOST_FIGURES: f"There are 1 to {MOST_FIGURES} figures.",
        names != sorted(set(names)): "Figures are sorted by their names, each name once.",
        any(not figure.of for figure in making.figures): "A figure is over one case at least.",
    }
    for is_wrong, why in wrong.items():
        if is_wrong:
            raise InvalidInput("bad_derivation", why, "See docs/replay.md.")
