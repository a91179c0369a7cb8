"""Whether a capsule's size is that of a padded request: a size class and what sealing adds to it.

7 bytes of header (RFC 9458 section 4.1), the encapsulated key (32 for X25519, 1120 for X-Wing),
the final chunk's zero where there are chunks, 16 bytes of tag
"""

from __future__ import annotations

from typing import Final

from hallmark.privacy.padding import request_class
from hallmark.services.relay.info import CHUNKED_REQUEST

HEADER: Final = 7
ENCAPSULATED: Final = (32, 1120)
TAG: Final = 16


def is_of_a_class(size: int, kind: bytes) -> bool:
    """True when a capsule of so many bytes may hold a padded request in one piece."""
    around = HEADER + TAG + (kind == CHUNKED_REQUEST)
    inner = (size - around - encapsulated for encapsulated in ENCAPSULATED)
    return any(one > 0 and request_class(one) == one for one in inner)
