"""Whom the relay may contact: the gateway that its settings name, and the nodes that this gateway lists.

The same for every client. It is fetched every few seconds, and at once (never more than once a second) when a
capsule names a node that is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec

from hallmark.core.beacon import network_id
from hallmark.core.document import Hex20, Hex32, hex0x, unhex
from hallmark.core.errors import HallmarkError, NotFound, Unavailable
from hallmark.http.client import Pool, Timeouts
from hallmark.http.health import Health
from hallmark.services.relay.info import KEYS, NODES, RelayNode
from hallmark.telemetry.logs import get_logger

TIMEOUTS: Final = Timeouts(connect=2.0, head=5.0, idle=5.0)
MOST: Final = 4 * 1024 * 1024
MOST_KEYS: Final = 64 * 1024
SOON_S: Final = 1.0
LATE: Final = 3
"""So many times in a row the directory may not be fetched before health says so."""


class Listed(msgspec.Struct, frozen=True):
    """A node as its gateway lists it."""

    node: Hex20
    endpoint: str
    tls_spki: Hex32
    epoch: int = 0
    sealed: bool = False


class _Listing(msgspec.Struct, frozen=True):
    nodes: list[Listed]


class _Trust(msgspec.Struct, frozen=True):
    origin: str


class Target(msgspec.Struct, frozen=True):
    """Where a capsule goes: a base URL, and the SHA-256 of the TLS key that has to be there (None: the
    gateway's, judged as the web's are).
    """

    url: str
    pin: bytes | None = None


class Directory:
    """See the module docstring. `run` must be running."""

    def __init__(self, pool: Pool, gateway: str, refresh_s: float) -> None:
        self._pool, self._refresh_s = pool, refresh_s
        self.gateway = Target(gateway.rstrip("/"))
        self._nodes: dict[bytes, Listed] = {}
        self._asked, self._done = asyncio.Event(), asyncio.Condition()
        self._failed = 0
        self._problem = ""
        self._last = float("-inf")
        self.network = b""
        self.keys = b""
        self.fetched = 0

    @property
    def health(self) -> Health:
        """Ready while the directory is fresh; what is known stays in use when it is not."""
        if not self.fetched:
            return Health("starting", "relay_directory", told=self._problem)
        if self._failed >= LATE:
            return Health("degraded", "relay_gateway_away", told=self._problem)
        return Health("ready")

    @property
    def nodes(self) -> tuple[RelayNode, ...]:
        """Nodes that take sealed requests."""
        found = (RelayNode(hex0x(key), listed.epoch) for key, listed in self._nodes.items() if listed.sealed)
        return tuple(sorted(found, key=lambda node: node.node))

    async def node(self, key: bytes) -> Target:
        """Where a node's enclave is. Raises NotFound `relay_unknown_node`, `relay_node_plain`."""
        if key not in self._nodes:
            await self.refreshed()
        listed = self._nodes.get(key)
        if listed is None:
            raise NotFound("relay_unknown_node", "The directory has no such node.", "Ask for another route.")
        if not listed.sealed:
            raise NotFound("relay_node_plain", "That node takes no sealed requests.", "Choose another one.")
        return Target(listed.endpoint.rstrip("/"), unhex(listed.tls_spki))

    async def refreshed(self) -> None:
        """Wait for a newer directory, unless one came within the last second."""
        if asyncio.get_running_loop().time() - self._last < SOON_S:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUTS.head), self._done:
                self._asked.set()
                await self._done.wait()

    async def run(self) -> None:
        """Fetch again and again, until cancelled."""
        while True:
            self._asked.clear()
            await self.fetch()
            async with self._done:
                self._done.notify_all()
            settled = self.fetched and not self._failed and self._nodes
            pause = self._refresh_s if settled else min(self._refresh_s, SOON_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._asked.wait()

    async def fetch(self) -> None:
        """Fetch it once; a problem shows in health, and what was known stays."""
        try:
            nodes = await self._listed()
            if not self.network:
                self.network = await self._network()
            self.keys = await self._get(KEYS, MOST_KEYS)
        except HallmarkError as error:
            if self._problem != error.reason:
                get_logger().warning("directory_problem", reason=error.reason)
            self._problem, self._failed = error.reason, self._failed + 1
            return
        finally:
            self._last = asyncio.get_running_loop().time()
        self._nodes = nodes
        self._problem, self._failed = "", 0
        self.fetched += 1

    async def _listed(self) -> dict[bytes, Listed]:
        body = await self._get(NODES, MOST)
        try:
            said = msgspec.json.decode(body, type=list[Listed] | _Listing)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unreadable() from error
        listed = said.nodes if isinstance(said, _Listing) else said
        # An endpoint that no pin can guard is nobody's.
        return {unhex(one.node): one for one in listed if one.endpoint.startswith("https://")}

    async def _network(self) -> bytes:
        try:
            trust = msgspec.json.decode(await self._get("/v1/hallmark/trust.json", MOST), type=_Trust)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unreadable() from error
        return network_id(trust.origin)

    async def _get(self, path: str, most: int) -> bytes:
        async with self._pool.request("GET", self.gateway.url + path, timeouts=TIMEOUTS) as response:
            if response.status != 200:
                raise Unavailable(
                    "relay_gateway_refuses",
                    f"The gateway answers {response.status} for {path}.",
                    "Is the address that of a Hallmark gateway of this release?",
                )
            return await response.read(most)


def _unreadable() -> Unavailable:
    return Unavailable("relay_gateway_unreadable", "The gateway's directory cannot be read.")
