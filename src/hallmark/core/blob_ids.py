"""The text form of Walrus blob IDs; `hallmark.hub.walrus` computes them."""

from __future__ import annotations

import base64
import binascii

from hallmark.core.errors import InvalidInput


def blob_text(identifier: bytes, size: int = 32) -> str:
    """The text form: 43 characters of URL-safe base64 without padding. Raises InvalidInput `bad_blob_id`."""
    if len(identifier) != size:
        raise InvalidInput("bad_blob_id", "A blob ID has 32 bytes.")
    return base64.urlsafe_b64encode(identifier).rstrip(b"=").decode()


def parse_blob_text(text: str) -> bytes:
    """The 32 bytes of a blob ID's text form. Raises InvalidInput `bad_blob_id` unless it is canonical."""
    identifier = parse_base64(text, 32)
    if identifier is None:
        raise InvalidInput("bad_blob_id", "A blob ID is 43 characters of URL-safe base64.")
    return identifier


def parse_base64(text: str, size: int) -> bytes | None:
    """So many bytes of URL-safe base64 without padding; None for what is not written so."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if len(data) == size and blob_text(data, size) == text else None
