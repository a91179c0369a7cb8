"""From an opened request to what an ASGI application is asked, with how it came beside it.

The scope is the one that the same request would have had on the plain path, but for three things: there is no
client address, `scope["extensions"]["hallmark.sealed"]` says how it came, and what belongs to a connection
alone may not be there.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, NotFound
from hallmark.core.sealing import is_relay
from hallmark.http.asgi import Scope, header
from hallmark.privacy.binary_http import Request
from hallmark.privacy.padding import CODING

EXTENSION: Final = "hallmark.sealed"
PATH: Final = "/v1/hallmark/sealed"
AUTHORITY: Final = b"hallmark.invalid"
"""The authority of requests that name no host: the key that they are sealed to says for whom they are."""
RELAY: Final = b"hallmark-relay"
CONNECTION: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    )
)
"""Fields of a connection, which a message without one has not (RFC 9292, section 3.6)."""
DROPPED: Final = frozenset((b"accept-encoding", b"host"))

Allows = Callable[[str, str], bool]
"""(method, path) -> whether it may be asked sealed."""


class Came(msgspec.Struct, frozen=True):
    """How a request came: the window and SHA-256 of its key configurations, the suite's name, the size class
    in bytes, the relay as the client said ("" unknown).
    """

    window: int
    configuration: bytes
    suite: str
    size: int
    relay: str = ""


class Misdirected(InvalidInput):
    """The request is for somebody else (RFC 9110, section 15.5.20)."""

    status = 421


def came_sealed(scope: Scope) -> Came | None:
    """How the request came, when it was sealed."""
    extensions = scope.get("extensions")
    return extensions.get(EXTENSION) if extensions else None


def inner_scope(request: Request, came: Came, outer: Scope, authorities: Collection[bytes]) -> Scope:
    """The scope of an opened request that came in `outer`.

    Raises Misdirected `sealed_foreign_authority`, InvalidInput `bad_binary_http`, `sealed_nested`,
    `bad_relay`.
    """
    hosts = [value for name, value in request.headers if name == b"host"]
    authority = request.authority or (hosts[0] if hosts else b"")
    if authority.lower() not in authorities or any(host.lower() != authority.lower() for host in hosts):
        raise Misdirected(
            "sealed_foreign_authority",
            "The sealed request names another server than the one whose key it is sealed to.",
            f"Name the server, or {AUTHORITY.decode()}.",
        )
    raw_path, _, query = request.path.partition(b"?")
    path = urllib.parse.unquote(raw_path.decode("ascii"))
    lengths = [value for name, value in request.headers if name == b"content-length"]
    wrong = any(name in CONNECTION for name, _ in request.headers) or request.trailers
    if wrong or raw_path[:1] != b"/" or any(each != b"%d" % len(request.content) for each in lengths):
        raise InvalidInput(
            "sealed_request_unfit",
            "The sealed request has what one message cannot have: a connection's fields, trailers, another "
            "length, or no path.",
        )
    if path.rstrip("/") == PATH:
        raise InvalidInput("sealed_nested", "A sealed request cannot hold another one.")
    headers = [(name, value) for name, value in request.headers if name not in DROPPED]
    scope: Scope = {
        "type": "http",
        "asgi": outer.get("asgi", {"version": "3.0"}),
        "http_version": "1.1",
        "method": request.method.decode("ascii"),
        "scheme": "https",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", authority), *headers],
        "client": None,
        "server": outer.get("server"),
    }
    if "state" in outer:
        scope["state"] = outer["state"]
    relay = (header(scope, RELAY) or b"").decode("latin-1")
    if not is_relay(relay):
        raise InvalidInput("bad_relay", "Hallmark-Relay must be the relay's URL, of at most 200 characters.")
    scope["extensions"] = {EXTENSION: msgspec.structs.replace(came, relay=relay)}
    return scope


def takes_padding(request: Request) -> bool:
    """Whether the client reads a padded body."""
    offered = b",".join(value for name, value in request.headers if name == b"accept-encoding")
    return CODING.encode() in [each.partition(b";")[0].strip().lower() for each in offered.split(b",")]


def not_offered_sealed() -> HallmarkError:
    """The error for what may not be asked sealed here."""
    return NotFound("unknown_path", "There is nothing at this path.", "See docs/api.md for the paths.")
