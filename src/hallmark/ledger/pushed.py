"""An add-checkpoint request together with the leaves that it adds: what a log sends to a Hallmark full node.

    u32be length || add-checkpoint body (C2SP tlog-witness) || entry bundle (C2SP tlog-tiles)

The bundle holds the leaves from the request's old size up to the checkpoint's. Nobody signs it: whoever takes
it compares the root that the leaves give with the checkpoint's, and fetches them where it differs.
"""

from __future__ import annotations

from typing import Final, Self

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.ledger.tiles import decode_bundle
from hallmark.ledger.witness import MAX_BODY

PATH: Final = "/hallmark/add-checkpoint"
MAX_BUNDLE: Final = 4 * 1024 * 1024
MAX_PUSHED: Final = 4 + MAX_BODY + MAX_BUNDLE


class Pushed(msgspec.Struct, frozen=True):
    """The request's body and the bundle, both as they came: nothing of either was looked at yet."""

    request: bytes
    bundle: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return len(self.request).to_bytes(4, "big") + self.request + self.bundle

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Split what came. Raises InvalidInput `bad_add_checkpoint`."""
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < 4 or end > len(data) or end - 4 > MAX_BODY:
            raise InvalidInput("bad_add_checkpoint", "The body is not an add-checkpoint request with leaves.")
        return cls(data[4:end], data[end:])


def pushed_leaves(bundle: bytes, count: int) -> list[bytes] | None:
    """The leaves of a bundle if it holds `count` of them; None if it does not, or is none."""
    try:
        leaves = decode_bundle(bundle)
    except InvalidInput:
        return None
    return leaves if len(leaves) == count else None
