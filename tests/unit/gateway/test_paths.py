"""Paths as clients write them."""

from __future__ import annotations

from typing import Any

import pytest

from hallmark.core.errors import NotFound
from hallmark.services.gateway.paths import normal


def scope(path: str, accept: bytes) -> dict[str, Any]:
    """A request's scope."""
    return {"type": "http", "path": path, "headers": [(b"accept", accept)]}


def test_a_person_gets_the_page_of_models() -> None:
    """A browser asks for HTML; a client without /v1 in its base URL is told what is missing."""
    asked = scope("/models", b"text/html,application/xhtml+xml")
    assert normal(asked, "") is asked
    for path, accept in (
        ("/models", b"application/json"),
        ("/models", b"*/*"),
        ("/completions", b"text/html"),
    ):
        with pytest.raises(NotFound, match="unknown_path"):
            normal(scope(path, accept), "")
