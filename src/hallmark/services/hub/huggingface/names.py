"""Repositories as a search finds them: in memory, newest change last, so that no search reads all rows.

Ids stand in one text, which is searched from its end; each tag has a list of who has it. What changed is put
behind everything, and what stood before is passed over. `Rows` reads what there is once, and what changed
lately before each search: a commit of another process counts too.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

DIGITS: Final = "0123456789abcdef"
LETTERS: Final = "ABCDEFGHIJKLMNOP"
"""Numbers are written in capitals, which no key has: who looks for a digit finds keys alone."""
AWAY: Final = str.maketrans(DIGITS, LETTERS)
BACK: Final = str.maketrans(LETTERS, DIGITS)
MOST_TEXTS: Final = 64
KEY: Final = re.compile(r"[a-z0-9._/-]*")
FEW: Final = 5_000
"""A tag of fewer is walked itself; with more a text is looked for first."""


class Known(msgspec.Struct, frozen=True):
    """A repository: its key, when it changed (unix ms), its tags."""

    key: str
    updated: int
    tags: frozenset[str]


class Names:
    """See the module docstring."""

    def __init__(self) -> None:
        self.newest = 0
        """The latest change that is known of (unix ms)."""
        self._all: list[Known] = []
        self._latest: dict[str, int] = {}
        self._tags: dict[str, array[int]] = {}
        self._texts: list[str] = []

    def __len__(self) -> int:
        return len(self._latest)

    def put(self, ones: Sequence[Known]) -> None:
        """Know these, each in the place of what was known of it; the last is the newest."""
        lines = []
        for one in ones:
            self.newest = max(self.newest, one.updated)
            at = self._latest.get(one.key)
            if at is not None and self._all[at] == one:
                continue
            number = self._latest[one.key] = len(self._all)
            self._all.append(one)
            for tag in one.tags:
                self._tags.setdefault(tag, array("q")).append(number)
            lines.append(_line(one.key, number))
        if lines:
            self._texts.append("\n" + "".join(lines))
            self._tidy()

    def search(self, *, text: str, author: str, tags: Sequence[str], limit: int, offset: int) -> list[str]:
        """Keys whose id holds `text`, of an author ("": any), with all `tags`; newest change first."""
        if not KEY.fullmatch(text) or not KEY.fullmatch(author):
            return []
        wanted = frozenset(tags)
        before = f"{author}/" if author else ""

        def fits(number: int) -> bool:
            one = self._all[number]
            alive = self._latest[one.key] == number
            return alive and text in one.key and one.key.startswith(before) and wanted <= one.tags

        found = (self._all[at].key for at in self._candidates(text, before, wanted) if fits(at))
        return list(islice(found, offset, offset + limit))

    def _candidates(self, text: str, before: str, wanted: frozenset[str]) -> Iterator[int]:
        """Numbers among which all that fit are, newest first."""
        tagged = min((self._tags.get(tag, array("q")) for tag in wanted), key=len, default=None)
        if tagged is not None and (len(tagged) < FEW or not (text or before)):
            return reversed(tagged)
        if text or before:
            return self._with(text if len(text) >= len(before) else f"\n{before}")
        return iter(range(len(self._all) - 1, -1, -1))

    def _with(self, needle: str) -> Iterator[int]:
        """Numbers of lines whose key holds a needle, or begins with what stands behind a line's end."""
        for part in reversed(self._texts):
            at = part.rfind(needle)
            while at >= 0:
                tab = part.find("\t", at)
                yield int(part[tab + 1 : part.find("\n", tab)].translate(BACK), 16)
                begins = at if needle[0] == "\n" else part.rfind("\n", 0, at) + 1
                at = part.rfind(needle, 0, begins)

    def _tidy(self) -> None:
        """Few texts, and no more that is passed over than counts."""
        if len(self._all) > 2 * len(self._latest) + 1_000:
            alive = [self._all[at] for at in sorted(self._latest.values())]
            self._all, self._latest, self._tags, self._texts = [], {}, {}, []
            self.put(alive)
        elif len(self._texts) > MOST_TEXTS:
            self._texts = ["\n" + "".join(part[1:] for part in self._texts)]


def _line(key: str, number: int) -> str:
    return f"{key}\t{f'{number:x}'.translate(AWAY)}\n"
