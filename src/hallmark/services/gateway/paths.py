"""Paths as clients write them: behind a prefix, with a slash at the end, or below a base URL without v1."""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import NotFound
from hallmark.http.asgi import Scope, header

EDITS: Final = "/v1/images/edits"
"""The one among them whose body is a form, and no JSON."""
ANSWERS: Final = frozenset(
    (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/hallmark/infer",
        "/v1/images/generations",
        EDITS,
    )
)
OTHERS: Final = frozenset(("/v1/models",))
PAGE: Final = "/models"
"""Also a page: what asks for HTML is a person, and not a client whose base URL lacks something."""
BARE: Final = frozenset(path.removeprefix("/v1") for path in ANSWERS | OTHERS)


def normal(scope: Scope, prefix: str) -> Scope:
    """The request as the API knows it: without the gateway's own `prefix` and without a slash at the end.

    Raises NotFound `unknown_path` that says what a base URL lacks, or has too much of.
    """
    path, raw = scope["path"], scope.get("raw_path") or scope["path"].encode()
    if prefix and path.startswith(f"{prefix}/"):
        path, raw = path.removeprefix(prefix), raw.removeprefix(prefix.encode())
    if path.startswith("/v1/"):
        path, raw = path.rstrip("/"), raw.rstrip(b"/")
    bare = path.rstrip("/")
    if bare in BARE and not (bare == PAGE and b"text/html" in (header(scope, b"accept") or b"")):
        raise NotFound("unknown_path", f"There is nothing at {bare}.", "The base URL ends with /v1.")
    if path.startswith("/v1/v1/"):
        raise NotFound("unknown_path", "The path has /v1 twice.", "Take one off the base URL.")
    return scope if path == scope["path"] else {**scope, "path": path, "raw_path": raw}
