"""What a list of receipts is asked for: filters and cursors, read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from hallmark.core.document import unhex
from hallmark.core.errors import InvalidInput
from hallmark.services.explorer.receipt_context import ReceiptContext, label
from hallmark.services.following.followed_log import FollowedLog

Where: TypeAlias = Mapping[str, bytes]
"""Columns of the receipts' table and what they must stand for."""

END: Final = 1 << 62
ID: Final = re.compile(r"0x[0-9a-f]{64}")
KEY: Final = re.compile(r"0x[0-9a-f]{40}")


def where_of(query: str) -> Where:
    """A filter in URL form: `node=` an address, `artifact=` a digest, `model=` a label; each once at most.

    Raises InvalidInput `bad_filter`.
    """
    where: dict[str, bytes] = {}
    for name, value in parse_qsl(query, max_num_fields=8):
        column = {"node": "node", "artifact": "artifact", "model": "label"}.get(name)
        pattern = {"node": KEY, "artifact": ID}.get(name)
        if column is None or column in where or (pattern and not pattern.fullmatch(value)):
            raise InvalidInput("bad_filter", "Receipts are filtered by node=, model= and artifact=.")
        where[column] = unhex(value) if pattern else value.encode()
    return where


def position_of(cursor: str) -> int:
    """The position under which a page of rows begins; "" is the newest. Raises InvalidInput `bad_cursor`."""
    if not cursor:
        return END
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidInput(
            "bad_cursor", "This is not a cursor that a page here gave.", "Leave it out to begin anew."
        )
    return int(cursor)


def matches(watch: FollowedLog, told: ReceiptContext, where: Where) -> bool:
    """Whether a receipt that is not in the index matches a filter."""
    own = {"node": told.receipt.node, "artifact": told.receipt.artifact, "label": label(watch, told).encode()}
    return all(own[column] == value for column, value in where.items())
