"""The small lines that C2SP formats are made of: strict base64 and strict decimals."""

from __future__ import annotations

import base64
import binascii
import re

from hallmark.core.errors import InvalidInput

DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def b64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    """Read standard base64, canonical only. Raises InvalidInput `bad_base64`."""
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidInput("bad_base64", "A line is not base64.") from error
    if b64(data) != text:
        raise InvalidInput("bad_base64", "A line is not canonical base64.")
    return data


def unb64_hash(text: str) -> bytes:
    """Read a base64 SHA-256 digest; 32 bytes. Raises InvalidInput `bad_base64`."""
    data = unb64(text)
    if len(data) != 32:
        raise InvalidInput("bad_base64", "A line does not hold a 32-byte hash.")
    return data


def decimal(text: str) -> int:
    """Read an ASCII decimal below 2^63 without leading zeroes. Raises InvalidInput `bad_decimal`."""
    if not DECIMAL.fullmatch(text) or (value := int(text)) >= 1 << 63:
        raise InvalidInput("bad_decimal", "A line does not hold a decimal number without leading zeroes.")
    return value
