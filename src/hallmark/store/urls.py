"""The URL of a store: which database, and where; `store.raw` lists the forms."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from hallmark.core.errors import InvalidInput

SQLITE: Final = "sqlite"
POSTGRES: Final = "postgresql+psycopg"


class StoreURL(msgspec.Struct, frozen=True):
    """A URL that was read: `path` of a SQLite file (empty: in memory), else `conninfo` for libpq."""

    path: str = ""
    conninfo: str = ""

    @property
    def in_memory(self) -> bool:
        """Whether this is a SQLite database in memory."""
        return not self.path and not self.conninfo


def sqlite_url(path: Path) -> str:
    """The store URL of a SQLite file, whatever stands in its path: `?`, `%`, `#` are escaped.

    A path that is pasted into a URL by hand opens another file than the one that was meant. Raises
    InvalidInput `bad_store_url` for a path that is not UTF-8.
    """
    try:
        return f"{SQLITE}:///{quote(str(path), safe='/ ')}"
    except UnicodeEncodeError as error:
        raise InvalidInput("bad_store_url", "A store's path must be UTF-8.") from error


def parse_url(url: str) -> StoreURL:
    """Read a store's URL. Raises InvalidInput `bad_store_url`."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in (SQLITE, POSTGRES):
        raise InvalidInput(
            "bad_store_url", "A store is sqlite or postgresql+psycopg.", "See docs/log.md for URLs."
        )
    if scheme == POSTGRES:
        return StoreURL(conninfo=f"postgresql://{rest}")
    if "?" in rest or rest[:1] not in ("", "/"):
        # `?` begins a query: what follows would silently be no part of the file's name.
        raise InvalidInput(
            "bad_store_url",
            "A SQLite store's URL has three slashes, a path, and no query.",
            "Write ? as %3F and % as %25 in the path.",
        )
    path = unquote(rest[1:])
    return StoreURL(path="" if path == ":memory:" else path)
