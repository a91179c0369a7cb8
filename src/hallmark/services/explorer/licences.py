"""What cards in the hub say of licences. The log says nothing of them: this is the hub's word on what the
holder of a namespace wrote, shown as such.

The list is asked for newest change first, and again after `EVERY_S`; then only as far as something changed.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote

import msgspec

from hallmark.core.errors import HallmarkError
from hallmark.http.client import Pool, Timeouts

TIMEOUTS: Final = Timeouts(connect=1.0, head=5.0, idle=5.0)
EVERY_S: Final = 30.0
SOON_S: Final = 2.0
"""Until it is known that the hub has something: it may be starting."""
PAGE: Final = 500
MOST_PAGES: Final = 1_000
HOUSE: Final = "hallmark"
PREFIX: Final = "license:"
LONGEST: Final = 64


class _Listed(msgspec.Struct, frozen=True):
    id: str
    sha: str = ""
    tags: tuple[str, ...] = ()


class Licences:
    """Licences by repository, as the hub lists them; `run` asks. Without a hub nothing is known."""

    def __init__(self, pool: Pool, url: str) -> None:
        self._pool, self._url = pool, url.rstrip("/")
        self._heads: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self.version = 0
        """Counts changes."""
        self.answers = False

    def of(self, label: str) -> str:
        """The licence that the card of a label's repository names; "" where none is known."""
        return self._known.get(repository_of(label), "")

    async def run(self) -> None:
        """Ask again and again, for ever."""
        while self._url:
            await self.ask()
            await asyncio.sleep(EVERY_S if self._known else SOON_S)

    async def ask(self) -> None:
        """Ask once, as far as something changed."""
        try:
            for page in range(MOST_PAGES):
                listed = await self._page(page * PAGE)
                changed = [one for one in listed if self._heads.get(one.id.lower()) != one.sha]
                for one in changed:
                    self._take(one)
                self.version += bool(changed)
                if len(listed) < PAGE or not changed:
                    break
            self.answers = True
        except (HallmarkError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.answers = False

    async def look(self, label: str) -> str:
        """The same as the hub says it now; what is known already while it does not answer."""
        before = self.of(label)
        try:
            path = f"{self._url}/api/models/{quote(repository_of(label))}"
            if self._url:
                async with self._pool.request("GET", path, timeouts=TIMEOUTS) as response:
                    if response.status == 200:
                        self._take(msgspec.json.decode(await response.read(1 << 24), type=_Listed))
                        self.version += self.of(label) != before
        except (HallmarkError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.answers = False
        return self.of(label)

    def _take(self, one: _Listed) -> None:
        self._heads[one.id.lower()] = one.sha
        self._known[one.id.lower()] = _licence(one.tags)

    async def _page(self, cursor: int) -> list[_Listed]:
        url = f"{self._url}/api/models?limit={PAGE}&cursor={cursor}"
        async with self._pool.request("GET", url, timeouts=TIMEOUTS) as response:
            if response.status != 200:
                return []
            return msgspec.json.decode(await response.read(1 << 24), type=list[_Listed])


def repository_of(label: str) -> str:
    """The hub's repository of a label: its own name, or that of a model that ships."""
    return (label if "/" in label else f"{HOUSE}/{label}").lower()


def _licence(tags: tuple[str, ...]) -> str:
    found = next((tag.removeprefix(PREFIX) for tag in tags if tag.startswith(PREFIX)), "")
    return found.lower() if len(found) <= LONGEST and found.isprintable() else ""
