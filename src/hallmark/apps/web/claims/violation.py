"""A claim that goes too far, told so that who wrote the page can mend it."""

from __future__ import annotations

import msgspec


class Violation(msgspec.Struct, frozen=True):
    """`rule` was broken on `surface` by `said`, within `text`, at `where` (an element, a field, a line)."""

    surface: str
    rule: str
    said: str
    text: str = ""
    kind: str = ""
    where: str = ""
    why: str = ""

    def __str__(self) -> str:
        stands = f"{self.kind} {self.text[:160]!r} at {self.where}"
        return f"{self.surface}: [{self.rule}] {self.said!r} in {stands}: {self.why}"
