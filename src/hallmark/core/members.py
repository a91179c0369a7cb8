"""Members of JSON objects stand once each, so that no file can be read in two ways.

RFC 8259 section 4 leaves it open which of two members of one name counts, and readers differ.
"""

from __future__ import annotations

import json
from typing import Final

from hallmark.core.errors import InvalidInput


def check_members(data: bytes) -> None:
    """Check that no object of this JSON text, however deep, names a member twice.

    Names are compared as they read, not as they are spelled: an escaped letter is that letter. Raises
    InvalidInput `member_repeated`, `bad_json`.
    """
    try:
        _DECODER.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidInput("bad_json", "This is not JSON.") from error


def _once(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise InvalidInput("member_repeated", "An object names a member twice.")


# Numbers are not read: Python refuses to convert very long ones, and their value is nothing to this check.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once, parse_int=str, parse_float=str)
