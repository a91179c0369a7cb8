"""Which keys open sealed requests now, and what is published of them.

A schedule's keys are opened as their windows come and destroyed when they are over: a window's keys are held
from `grace` before its beginning until `grace` after its end, for requests on their way and clocks that
differ. What was destroyed does not come back, whatever the clock says.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Sealing
from hallmark.core.hashing import sha256
from hallmark.core.sealing import GRACE_MS, window_at
from hallmark.crypto.hpke import PrivateKey
from hallmark.privacy.key_configurations import Ratchet

LOOK_S: Final = 3600.0
"""A clock may be set: it is looked at so often at least."""


class Window(msgspec.Struct, frozen=True):
    """Keys in force: the window's number, SHA-256 of its `application/ohttp-keys` (32 bytes), private keys by
    key id.
    """

    number: int
    configuration: bytes
    keys: Mapping[int, PrivateKey]


class KeyHolder(Protocol):
    """Whoever opens sealed requests."""

    def in_force(self) -> tuple[Window, ...]:
        """The windows whose keys open requests now; no key id is in two of them."""
        ...


class Published(msgspec.Struct, frozen=True):
    """What is published of a window: its `application/ohttp-keys`, and the Merkle path under the root."""

    window: int
    begins: int
    ends: int
    configurations: bytes
    path: tuple[bytes, ...]


class ScheduledKeys:
    """The keys of an enclave: see the module docstring. `now` gives unix ms."""

    def __init__(self, ratchet: Ratchet, now: Callable[[], int], *, grace: int = GRACE_MS) -> None:
        self._ratchet, self._now, self._grace = ratchet, now, grace
        self._held: dict[int, Window] = {}
        self._told: dict[int, Published] = {}
        self._in_force: tuple[Window, ...] = ()
        self._gone = 0  # every window before this one is destroyed
        self._from, self._until = 1, 0

    @property
    def sealing(self) -> Sealing:
        """What the key bundle says."""
        return self._ratchet.sealing

    def in_force(self) -> tuple[Window, ...]:
        """See `KeyHolder`."""
        now = self._now()
        if not self._from <= now < self._until:
            self._turn(now)
        return self._in_force

    def published(self) -> tuple[Published, ...]:
        """The present window and the next; none when the schedule is over."""
        window = window_at(self.sealing, self._now())
        if window is None:
            return ()
        shown = [at for at in (window, window + 1) if self._gone <= at < self.sealing.count]
        self._told = {at: self._told.get(at) or self._publish(at) for at in shown}
        return tuple(self._told.values())

    async def run(self) -> None:
        """Open and destroy keys as their time comes, also while nobody asks. Never returns."""
        while True:
            self.in_force()
            await asyncio.sleep(min(max(self._until - self._now(), 1) / 1000, LOOK_S))

    def _turn(self, now: int) -> None:
        """Hold what is in force now, and nothing else."""
        since, every, count = self.sealing.since, self.sealing.every, self.sealing.count
        first = max((now - self._grace - since) // every, self._gone, 0)
        last = min((now + self._grace - since) // every, count - 1)
        self._gone = min(first, count)
        self._ratchet.forget(self._gone)
        self._held = {at: self._held.get(at) or self._open(at) for at in range(first, last + 1)}
        self._in_force = tuple(self._held.values())
        opens = since + (last + 1) * every - self._grace if last + 1 < count else now + every
        closes = since + (first + 1) * every + self._grace
        self._from, self._until = now, max(min(opens, closes), now + 1)

    def _open(self, window: int) -> Window:
        return Window(window, sha256(self._ratchet.blob(window)), self._ratchet.keys(window))

    def _publish(self, window: int) -> Published:
        begins = self.sealing.since + window * self.sealing.every
        blob, path = self._ratchet.blob(window), self._ratchet.path(window)
        return Published(window, begins, begins + self.sealing.every, blob, path)


def shown(keys: ScheduledKeys) -> dict[str, object]:
    """What `GET /v1/hallmark/keys` answers."""
    windows = [
        {
            "window": each.window,
            "begins": each.begins,
            "ends": each.ends,
            "configurations": base64.b64encode(each.configurations).decode(),
            "path": [hex0x(node) for node in each.path],
        }
        for each in keys.published()
    ]
    return {"sealing": msgspec.to_builtins(keys.sealing), "windows": windows}
