"""`GET /v1/hallmark/nodes`: who is there, for relays; `.../{node}`: what a client needs to seal to one.

Everything about a node comes with what shows it: bundle, configuration and evidence as registered, the
registration's leaf under a quorum's checkpoint with all leaves up to that checkpoint's end (they show what
full nodes object to), and the key configurations of the present window with their path under the bundle's
root. Nothing in it depends on who asks: the bytes are the same for everybody until window, registration or
membership changes, so nobody can be given a key of his own here unnoticed.

Configuration and keys are asked of the node itself, over TLS that its bundle pins, as the gateway looks at
nodes; what the bundle does not commit to is dropped.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration, KeyBundle
from hallmark.core.entries import decode, split_leaf
from hallmark.core.errors import HallmarkError, NotFound, Unavailable
from hallmark.core.sealing import window_at
from hallmark.http.client import Pool, Timeouts
from hallmark.privacy.key_configurations import verify_window
from hallmark.routing.capacity import present
from hallmark.services.following.follower import Follower
from hallmark.services.following.proofs import FollowedProofs
from hallmark.services.following.records import Logged

TIMEOUTS: Final = Timeouts(connect=2.0, head=2.0, idle=2.0, pool=1.0)
MOST: Final = 256 * 1024
KEPT_BYTES: Final = 256 * 1024
"""Of leaves behind a registration: more are read again each time that they are asked for."""
PAUSE_MS: Final = 1_000
"""So long a node that did not give what it should is left alone."""
FRESH_S: Final = 10
"""For so long others may keep an answer, in seconds; never beyond the window."""


class _Window(msgspec.Struct, frozen=True):
    window: int
    configurations: str
    path: tuple[str, ...]


class _Keys(msgspec.Struct, frozen=True):
    windows: tuple[_Window, ...] = ()


class _Identity(msgspec.Struct, frozen=True):
    configuration: str = ""


class _Known:
    """What one bundle's node gave: its configuration's exact text, its windows, and when it was asked."""

    def __init__(self) -> None:
        self.configuration = ""
        self.windows: dict[int, _Window] = {}
        self.asked = 0
        self.asking = asyncio.Lock()


class NodeDirectory:
    """See the module docstring. `clock` gives unix ms."""

    def __init__(
        self, follower: Follower, proofs: FollowedProofs, pool: Pool, clock: Callable[[], int]
    ) -> None:
        self._follower, self._proofs, self._pool, self._clock = follower, proofs, pool, clock
        self._known: dict[bytes, _Known] = {}
        self._registered: dict[int, dict[str, Any]] = {}

    def listed(self) -> list[dict[str, object]]:
        """Every present node, in order of its key."""
        now = self._clock()
        return [
            {
                "node": hex0x(key),
                "endpoint": bundle.endpoint,
                "tls_spki": bundle.tls_spki,
                "epoch": bundle.epoch,
                "sealed": _window(bundle, now) is not None,
            }
            for key, bundle in self._present()
        ]

    async def shown(self, node: bytes) -> dict[str, object]:
        """Everything about one node. Raises NotFound `unknown_node`, Unavailable `node_not_shown`."""
        bundle = dict(self._present()).get(node)
        if bundle is None:
            raise NotFound("unknown_node", "No such node is present.", "GET /v1/hallmark/nodes lists them.")
        digest = bundle.digest()
        known = self._known.setdefault(digest, _Known())
        window = _window(bundle, self._clock())
        if not known.configuration or (window is not None and window not in known.windows):
            await self._ask(bundle, known)
        logged = self._follower.registration(node, b"", digest)
        if logged is None or not known.configuration:
            raise _not_shown()
        entry = decode(split_leaf(logged.leaf)[1])
        text, evidence = entry.attachments
        found = known.windows.get(window) if window is not None else None
        return {
            "node": hex0x(node),
            "bundle": text.decode(),
            "configuration": known.configuration,
            "evidence": base64.b64encode(evidence).decode() if evidence else None,
            "registration": await self._registration(logged),
            "sealing": msgspec.to_builtins(found) if found else None,
        }

    def fresh_s(self, node: bytes | None = None) -> int:
        """For how many seconds others may keep the list, or what is said of a node."""
        now = self._clock()
        shown = [bundle for key, bundle in self._present() if node in (None, key)]
        left = [_ends(bundle, now) - now for bundle in shown if _window(bundle, now) is not None]
        return max(0, min([FRESH_S, *(each // 1000 for each in left)]))

    async def look(self) -> None:
        """Ask every present node for what is not known of it, and forget who left."""
        nodes = self._present()
        digests = {bundle.digest(): bundle for _, bundle in nodes}
        self._known = {digest: self._known.get(digest) or _Known() for digest in digests}
        now = self._clock()
        lacking = [
            (digests[digest], known)
            for digest, known in self._known.items()
            if not known.configuration or not _due(digests[digest], now) <= known.windows.keys()
        ]
        await asyncio.gather(*(self._ask(bundle, known) for bundle, known in lacking))

    def _present(self) -> list[tuple[bytes, KeyBundle]]:
        return present(self._follower.replica.registry)

    async def _registration(self, logged: Logged) -> dict[str, Any]:
        index = logged.index
        if index not in self._registered:
            try:
                proof, after = await self._proofs.behind(index, logged.note)
            except HallmarkError as error:
                raise _not_shown() from error
            shown = {
                "leaf": base64.b64encode(logged.leaf).decode(),
                "index": index,
                "proof": proof,
                "after": [base64.b64encode(leaf).decode() for leaf in after],
            }
            if sum(map(len, after)) > KEPT_BYTES:
                return shown
            kept = set(self._logged())
            self._registered = {at: told for at, told in self._registered.items() if at in kept}
            self._registered[index] = shown
        return self._registered[index]

    def _logged(self) -> Iterator[int]:
        for key, bundle in self._present():
            logged = self._follower.registration(key, b"", bundle.digest())
            if logged is not None:
                yield logged.index

    async def _ask(self, bundle: KeyBundle, known: _Known) -> None:
        """Ask a node, once for all who wait for it, and not again within PAUSE_MS."""
        began = self._clock()
        async with known.asking:
            if known.asked >= began or 0 <= began - known.asked < PAUSE_MS:
                return
            known.asked = self._clock()
            if not known.configuration:
                said = await self._get(bundle, "identity", _Identity)
                text = said.configuration if said else ""
                if hex0x(digest_of(EnclaveConfiguration, text.encode())) == bundle.configuration:
                    known.configuration = text
            if not isinstance(bundle.sealing, msgspec.UnsetType):
                keys = await self._get(bundle, "keys", _Keys)
                offered = [_held(bundle, each, self._clock()) for each in keys.windows] if keys else []
                found = [each for each in offered if each is not None]
                if found:
                    known.windows = {each.window: each for each in found}

    async def _get(self, bundle: KeyBundle, what: str, kind: type[Any]) -> Any:
        url = f"{bundle.endpoint}/v1/hallmark/{what}"
        try:
            async with self._pool.request(
                "GET", url, pin=unhex(bundle.tls_spki), timeouts=TIMEOUTS
            ) as response:
                data = await response.read(MOST)
                return msgspec.json.decode(data, type=kind) if response.status == 200 else None
        except (HallmarkError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def _window(bundle: KeyBundle, now: int) -> int | None:
    return None if isinstance(bundle.sealing, msgspec.UnsetType) else window_at(bundle.sealing, now)


def _due(bundle: KeyBundle, now: int) -> set[int]:
    """The windows that should be known: the present one and the next, if there are."""
    window = _window(bundle, now)
    if window is None or isinstance(bundle.sealing, msgspec.UnsetType):
        return set()
    return {at for at in (window, window + 1) if at < bundle.sealing.count}


def _ends(bundle: KeyBundle, now: int) -> int:
    sealing, window = bundle.sealing, _window(bundle, now)
    assert not isinstance(sealing, msgspec.UnsetType)
    assert window is not None
    return sealing.since + (window + 1) * sealing.every


def _held(bundle: KeyBundle, told: _Window, now: int) -> _Window | None:
    """A window whose configurations stand under the bundle's root, as they are when it begins."""
    sealing = bundle.sealing
    assert not isinstance(sealing, msgspec.UnsetType)
    try:
        path = tuple(map(unhex, told.path))
        blob = base64.b64decode(told.configurations, validate=True)
        verify_window(sealing, told.window, blob, path, max(now, sealing.since + told.window * sealing.every))
    except (HallmarkError, ValueError):
        return None
    return told


def _not_shown() -> Unavailable:
    return Unavailable(
        "node_not_shown",
        "What shows this node's keys is not here yet: its own answer, or a quorum over its registration.",
        "Ask again in a moment, or take another candidate.",
    )
