"""What a server answers when its application raises."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from hallmark.core.errors import Conflict, Unavailable
from hallmark.http.asgi import Message, Receive, Scope, Send
from hallmark.http.errors import Errors

FULL = Unavailable("store_full", "The store has no space left.")
LOST = Conflict("lease_lost", "Another process is the log now.")


async def answered(error: Exception) -> tuple[int, str]:
    """Status and reason code when the application raises this."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads")

    # A bug is raised on, so that the server logs where it was.
    with contextlib.suppress(TimeoutError, ExceptionGroup):
        await Errors(app)({"type": "http"}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]["code"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FULL, (503, "store_full")),
        (ExceptionGroup("", [FULL]), (503, "store_full")),
        (ExceptionGroup("", [ExceptionGroup("", [LOST, FULL]), FULL]), (409, "lease_lost")),
        (ExceptionGroup("", [FULL, KeyError("x")]), (500, "internal_error")),
        (TimeoutError(), (500, "internal_error")),
    ],
)
async def test_errors_in_groups(error: Exception, expected: tuple[int, str]) -> None:
    """A task group's error is the reason in it; whatever else comes with it is a bug, and hides the rest."""
    assert await answered(error) == expected
