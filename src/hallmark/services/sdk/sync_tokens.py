"""`Tokens` without asyncio."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from hallmark.services.sdk.tokens import WAIT_S, Held, TokenBalance, Tokens

T = TypeVar("T")


class Loop(Protocol):
    """Where the coroutines run."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result."""
        ...


class PlainTokens:
    """See `Tokens`; the same names and the same errors."""

    def __init__(self, tokens: Tokens, loop: Loop) -> None:
        self._tokens, self._loop = tokens, loop

    def buy(self, amount: str, wait: tuple[float, float] = WAIT_S) -> int:
        """Buy tokens for so much of the wallet's money; atomic units."""
        return self._loop.run(self._tokens.buy(amount, wait))

    def exchange(self, wait: tuple[float, float] = WAIT_S) -> int:
        """Have new tokens for those that end soon or have ended; atomic units."""
        return self._loop.run(self._tokens.exchange(wait))

    def balance(self) -> TokenBalance:
        """What the home's tokens are worth."""
        return self._loop.run(self._tokens.balance())

    def held(self) -> tuple[Held, ...]:
        """The tokens, by worth."""
        return self._loop.run(self._tokens.held())

    def finish_orders(self, wait: tuple[float, float] = WAIT_S) -> int:
        """Have what was ordered and never came; how many orders are over now."""
        return self._loop.run(self._tokens.finish_orders(wait))

    def recover(self) -> dict[str, int]:
        """Ask the issuer what became of tokens that are away."""
        return self._loop.run(self._tokens.recover())
