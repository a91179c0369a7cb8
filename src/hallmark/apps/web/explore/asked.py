"""What an address asks for: whole numbers, cursors and filters of explorer pages, read strictly."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request

from hallmark.core.errors import InvalidInput

DEFAULT_LIMIT: Final = 50
MOST: Final = 200
LONGEST: Final = 200
FILTERS: Final = ("node", "model", "artifact")


def whole(text: str, name: str) -> int:
    """A whole number of at most 18 digits. Raises InvalidInput `bad_number`."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("bad_number", f"{name} is a whole number of at most 18 digits.")
    return int(text)


def limit_of(request: Request) -> int:
    """How many rows: `limit`, 50 by default and 200 at most. Raises InvalidInput `bad_number`."""
    given = request.query_params.get("limit", "")
    return max(1, min(MOST, whole(given, "limit"))) if given else DEFAULT_LIMIT


def cursor_of(request: Request) -> str:
    """Where a page of rows begins; "" is the newest. Raises InvalidInput `bad_cursor`."""
    cursor = request.query_params.get("cursor", "")
    if len(cursor) > LONGEST:
        raise InvalidInput(
            "bad_cursor", "This is not a cursor that a page here gave.", "Leave it out to begin anew."
        )
    return cursor


def filter_of(request: Request) -> str:
    """The filter of a list of receipts in URL form, known names alone. Raises InvalidInput `bad_filter`."""
    wanted = [(name, request.query_params.get(name, "")) for name in FILTERS]
    if any(len(value) > LONGEST for _, value in wanted):
        raise InvalidInput("bad_filter", f"A filter has at most {LONGEST} characters.")
    return urlencode([(name, value) for name, value in wanted if value])


def following(request: Request, cursor: str) -> str:
    """The address of the next page of a list, or ""."""
    if not cursor:
        return ""
    kept = [(name, value) for name, value in request.query_params.items() if name != "cursor"]
    return f"{request.url.path}?{urlencode([*kept, ('cursor', cursor)])}"
