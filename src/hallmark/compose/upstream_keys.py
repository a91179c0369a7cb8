"""API keys of upstreams on one machine: files that the operator alone may read, sealed to enclaves.

At rest a key is `keys/upstream-LABEL.key`, mode 0600. The nodes' sealer reads it there; nothing else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from hallmark.compose.home import Home
from hallmark.compose.plan import Plan, load_plan
from hallmark.compose.supervisor import snapshot
from hallmark.core.errors import HallmarkError, NotFound, Unavailable
from hallmark.core.upstreams import require_key
from hallmark.http.client import Pool

PATIENCE_S: Final = 15.0
POLL_S: Final = 0.1


class KeyState(msgspec.Struct, frozen=True):
    """How a key stands in one node's enclave, and since when (unix ms)."""

    state: str = "unknown"
    at: int = 0


class _Said(msgspec.Struct, frozen=True):
    upstream_keys: dict[str, KeyState] = {}


def key_file(home: Home, label: str) -> Path:
    """Where the key of an upstream rests."""
    return home.file("keys", f"upstream-{quote(label, safe='')}.key")


def upstream_url(plan: Plan, label: str) -> str:
    """The address of an upstream of the plan. Raises NotFound `unknown_upstream`."""
    for node in plan.nodes:
        if label in node.upstreams:
            return node.upstreams[label]
    raise NotFound(
        "unknown_upstream",
        f"No node offers an upstream called '{label}'.",
        "Offer it first: hallmark up --upstream LABEL=URL",
    )


def set_key(home: Home, label: str, key: bytes, url: str = "") -> None:
    """Keep an upstream's key, in place of one that was there.

    Raises NotFound `unknown_upstream`, InvalidInput `bad_upstream_key`, `upstream_key_in_clear`.
    """
    kept = require_key(key, url or upstream_url(load_plan(home), label))
    home.write(kept, "keys", key_file(home, label).name, mode=0o600)


def remove_key(home: Home, label: str) -> bool:
    """Forget an upstream's key; False when there was none."""
    path = key_file(home, label)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        return True
    return False


def labels(home: Home) -> dict[str, bool]:
    """Every upstream of the plan, and whether it has a key here."""
    found = {label for node in load_plan(home).nodes for label in node.upstreams}
    return {label: key_file(home, label).exists() for label in sorted(found)}


async def reseal(home: Home, label: str) -> dict[str, KeyState]:
    """Have every running node's enclave given the keys anew; how `label` stands in each, by node.

    Raises Unavailable `upstream_key_not_delivered` when a node does not say within a while.
    """
    found = snapshot(home)
    plan = load_plan(home)
    names = [node.name for node in plan.nodes if label in node.upstreams]
    if found is None:
        return {}
    since = time.time_ns() // 1_000_000
    services = {name: found.services[name] for name in names if name in found.services}
    for service in services.values():
        if service.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(service.pid, signal.SIGHUP)
    pool = Pool()
    try:
        return {name: await _told(pool, service.health, label, since) for name, service in services.items()}
    finally:
        await pool.aclose()


async def _told(pool: Pool, health: str, label: str, since: int) -> KeyState:

    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(HallmarkError):
            async with pool.request("GET", health) as response:
                state = (await response.json(_Said)).upstream_keys.get(label, KeyState())
            if state.at >= since:
                return state
        await asyncio.sleep(POLL_S)
    raise Unavailable(
        "upstream_key_not_delivered",
        "A node did not say in time whether its enclave took the key.",
        "The key is kept; a node gives it to its enclave when that starts. See `hallmark status`.",
    )
