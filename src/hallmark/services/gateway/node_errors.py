"""What a node's error means for a request: whether another node may be asked, and what the client is told."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import Unavailable

UNSENT: Final = frozenset(
    (
        "bad_url",
        "connect_failed",
        "pin_mismatch",
        "pool_exhausted",
        "node_busy",
        "upstream_unreachable",
        "clock_skew",
    )
)
"""Reasons that say by themselves that no byte of a request has reached a provider."""
RETRY_HEADERS: Final = frozenset((b"retry-after", b"x-should-retry"))
DATA: Final = b"data: "


class NodeError(Unavailable):
    """What an enclave said when it could not complete an answer."""

    status = 502
    retry = False


class _Said(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Body(msgspec.Struct, frozen=True):
    error: _Said


def read_failure(data: bytes) -> NodeError:
    """The error that an enclave answered with, as a body or as a stream's last event.

    `node_failed` if it cannot be read.
    """
    try:
        said = msgspec.json.decode(data.removeprefix(DATA), type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = _Said()
    known = said.code.isidentifier() and said.code.isascii()
    code = said.code[:64] if known else "node_failed"
    return NodeError(code, said.message or "The node failed.")


def lost_at_provider() -> Unavailable:
    """The error when nobody can say whether a provider got the request."""
    error = Unavailable(
        "answer_lost",
        "The node stopped before its answer was complete; no other node was asked.",
        "A provider may have got the request and done its work: ask again only if that may be paid twice.",
    )
    error.retry = False
    return error
