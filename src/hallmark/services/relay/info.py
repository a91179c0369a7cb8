"""What a relay says of itself at GET /v1/relay: the same bytes for everybody. A client believes none of it;
what matters (nodes and their keys) it checks against its trust file and the log.
"""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from hallmark.core.document import Hex20, Hex32
from hallmark.core.hashing import sha256

INFO: Final = "/v1/relay"
TO_GATEWAY: Final = "/v1/relay/gateway"
TO_NODE: Final = "/v1/relay/"
SEALED: Final = "/v1/hallmark/sealed"
"""Where a node or a gateway takes capsules."""
KEYS: Final = "/v1/hallmark/ohttp-keys"
"""Where a gateway shows its key configurations."""
NODES: Final = "/v1/hallmark/nodes"
"""Where a gateway lists the present nodes."""

CHUNKED_REQUEST: Final = b"message/ohttp-chunked-req"
CHUNKED_RESPONSE: Final = b"message/ohttp-chunked-res"
REQUEST: Final = b"message/ohttp-req"
RESPONSE: Final = b"message/ohttp-res"
REQUESTS: Final = frozenset((CHUNKED_REQUEST, REQUEST))
RESPONSES: Final = frozenset((CHUNKED_RESPONSE, RESPONSE))


class RelayNode(msgspec.Struct, frozen=True):
    """A node that takes sealed requests, and the epoch of its key bundle."""

    node: Hex20
    epoch: int = 0


class RelayLimits(msgspec.Struct, frozen=True):
    """Bytes of a capsule and of its answer; capsules at once, in all and from one address; capsules a minute
    from one address, and how many may come at once after a pause (0: they are counted by tokens).
    """

    capsule: int
    answer: int
    at_once: int
    at_once_by_address: int
    a_minute: int = 0
    burst: int = 0


class RelayKept(msgspec.Struct, frozen=True):
    """What is kept and for how many seconds: addresses as hashes under a key that is forgotten with them;
    nullifiers of spent tokens. Of content, and of who asked which node when, nothing.
    """

    address_hashes_s: int
    nullifiers_s: int
    content_s: int = 0
    pairs_s: int = 0


class RelayTokens(msgspec.Struct, frozen=True):
    """What a token has to be made for (RFC 9577 section 2.1, base64url), the same for all in an epoch."""

    challenge: str
    token_key: str


class RelayInfo(msgspec.Struct, frozen=True):
    """GET /v1/relay. `configurations` are the gateway's key configurations (application/ohttp-keys, base64),
    `digest` their SHA-256; both empty while the relay has not got them. `tokens` where a request needs one.
    """

    name: str
    network: Hex32 | str
    configurations: str
    digest: Hex32 | str
    nodes: tuple[RelayNode, ...]
    limits: RelayLimits
    kept: RelayKept
    tokens: RelayTokens | None = None

    @property
    def keys(self) -> bytes:
        """The gateway's key configurations."""
        return base64.b64decode(self.configurations)


def keys_shown(blob: bytes) -> tuple[str, str]:
    """`configurations` and `digest` of an info."""
    return base64.b64encode(blob).decode(), f"0x{sha256(blob).hex()}" if blob else ""
