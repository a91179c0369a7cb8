"""Questions to the host that it answers with a message: each has a number, and a time within which it
comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from hallmark.core.errors import Unavailable
from hallmark.services.enclave import control

SILENT: Final = "host_silent"
"""The reason where nothing came in time."""


class Answer(Protocol):
    """What the host answers."""

    @property
    def reason(self) -> str:
        """Why it could not; empty when it could."""
        ...


K = TypeVar("K", int, bytes)
A = TypeVar("A", bound=Answer)
Send = Callable[[control.FromEnclave], None]


class HostRequests(Generic[K, A]):
    """Questions of one kind, by number or name."""

    def __init__(self, send: Send, refused: Callable[[str], Exception], timeout_s: float) -> None:
        """`refused` makes the error for a host's reason, SILENT among them."""
        self._send, self._refused, self._timeout_s = send, refused, timeout_s
        self._asked: dict[K, asyncio.Future[A]] = {}
        self._next = 0

    def number(self) -> int:
        """A number that no question of this kind has had."""
        number, self._next = self._next, self._next + 1
        return number

    async def ask(self, key: K, message: control.FromEnclave) -> A:
        """The host's answer. Raises what `refused` makes."""
        asked: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._asked[key] = asked
        self._send(message)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await asked
        except TimeoutError:
            raise self._refused(SILENT) from None
        finally:
            self._asked.pop(key, None)
        if answer.reason:
            raise self._refused(answer.reason)
        return answer

    def answered(self, key: K, answer: A) -> None:
        """The host's word; one that nobody waits for is nothing."""
        waiting = self._asked.get(key)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


def unavailable(why: str) -> Unavailable:
    """The error where the chain, or the host, does not let a payment through now."""
    return Unavailable(
        "lease_unavailable",
        f"No credit of this account can be leased now ({why}).",
        "Try again shortly, or pay another node.",
    )
