"""Hears from the parties of a network, when a page asks: each one's own health, and when it was last heard.

Asked are addresses that this process was given (its log, gateway, anchoring) or that the trust file's policy
names (full nodes), never one that somebody registered. An answer counts for a moment, so that many readers
ask no more often than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError
from hallmark.http.client import Pool, Timeouts
from hallmark.http.health import Health, code_of
from hallmark.services.explorer.network_views import Party

TIMEOUTS: Final = Timeouts(connect=1.0, head=1.0, idle=1.0)
FRESH_MS: Final = 2_000
HERE: Final = "this explorer"
LONGEST: Final = 300


class _Said(msgspec.Struct, frozen=True):
    """What is read of a /healthz."""

    state: str = "unknown"
    reason: str = ""
    since: int = 0
    told: str = ""


class HealthProbe:
    """See the module docstring. `urls` are names of parties with their roles and addresses."""

    def __init__(self, pool: Pool, urls: Mapping[str, tuple[str, str]], clock: Callable[[], int]) -> None:
        self._pool, self._urls, self._clock = pool, dict(urls), clock
        self._heard: dict[str, int] = {}
        self._silent: dict[str, int] = {}
        self._known: tuple[Party, ...] = ()
        self._at = 0
        self._asking = asyncio.Lock()

    async def parties(self) -> tuple[Party, ...]:
        """Every party as it says itself, or that it does not answer."""
        async with self._asking:
            if not 0 <= self._clock() - self._at < FRESH_MS:
                self._known = tuple(await asyncio.gather(*map(self._party, self._urls)))
                self._at = self._clock()
        return self._known

    async def _party(self, name: str) -> Party:
        role, url = self._urls[name]
        try:
            async with self._pool.request("GET", f"{url.rstrip('/')}/healthz", timeouts=TIMEOUTS) as response:
                said = msgspec.json.decode(await response.read(65_536), type=_Said)
        except (HallmarkError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            since = self._silent.setdefault(name, self._clock())
            silent = Health("silent", "no_answer", since)
            return party(name, role, silent, heard=self._heard.get(name, 0))
        self._silent.pop(name, None)
        self._heard[name] = self._clock()
        health = Health(
            code_of(said.state, "unknown"), code_of(said.reason, ""), said.since, said.told[:LONGEST]
        )
        return party(name, role, health, heard=self._heard[name])


def party(name: str, role: str, health: Health, *, heard: int, by: str = HERE, link: str = "") -> Party:
    """A party with its health, as pages show it."""
    return Party(
        name=name,
        role=role,
        state=health.state,
        reason=health.reason,
        since=health.since,
        told=health.told,
        next=health.step,
        heard=heard,
        by=by,
        link=link,
    )
