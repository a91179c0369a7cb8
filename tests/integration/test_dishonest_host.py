"""A host that registers two key bundles for one epoch, and one that lost its store after its
clock had been ahead: on a whole network each is refused, told why in plain words, and nobody seals to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from hallmark.compose.home import Home
from hallmark.testing.chaos import pid_of
from hallmark.testing.real_network import Network, hallmark, start_network

pytestmark = pytest.mark.integration

HOST = "node-1"
PATIENCE_S = 300


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network of its own: one of its hosts is refused here."""
    home = tmp_path_factory.mktemp("dishonest") / "home"
    start_network(home, "--no-ask")
    yield Network(home)
    stopped = hallmark(home, "down")
    assert stopped.returncode == 0, stopped.stderr


class Host:
    """One host of the network: what it says of itself, and its store in the hands of who runs it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._store = network.home / "services" / HOST / "store.db"
        plan = json.loads((network.home / "network.json").read_text())
        port = next(node["health_port"] for node in plan["nodes"] if node["name"] == HOST)
        self._url = f"http://127.0.0.1:{port}"

    def health(self) -> dict[str, Any]:
        """Its /healthz."""
        found: dict[str, Any] = httpx.get(f"{self._url}/healthz", timeout=30).json()
        return found

    def epoch(self) -> int:
        """The newest epoch, as its store has it."""
        with contextlib.closing(sqlite3.connect(self._store, timeout=60)) as store:
            (value,) = store.execute("SELECT value FROM node_counters WHERE name = 'epoch'").fetchone()
            return int(value)

    def again(self, after: int | None) -> None:
        """Another enclave, of the epoch after this one; None: the store has lost it."""
        before = self.health()["node"]
        with contextlib.closing(sqlite3.connect(self._store, timeout=60)) as store, store:
            if after is None:
                store.execute("DELETE FROM node_counters WHERE name = 'epoch'")
            else:
                store.execute("UPDATE node_counters SET value = ? WHERE name = 'epoch'", (after,))
        os.kill(pid_of(Home(self._network.home), f"enclave of {HOST}"), signal.SIGKILL)
        self.until(lambda told: told["node"] not in (None, before) and told["state"] != "starting")

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Its health, once it is so."""
        end = time.monotonic() + PATIENCE_S
        while not holds(told := self.health()):
            assert time.monotonic() < end, told
            time.sleep(0.2)
        return told


@pytest.fixture
def host(network: Network) -> Host:
    """The host."""
    return Host(network)


def asked(network: Network) -> str:
    """Who answers a sealed question."""
    done = network.run("ask", "--sealed", "--json", "What does os.mkfifo do?")
    assert done.returncode == 0, done.stderr
    node: str = json.loads(done.stdout)["sealed"]["node"]
    return node


def refused(network: Network, host: Host) -> None:
    """The host is refused for its epoch, is told so, and nobody asks it."""
    told = host.until(lambda told: told["reason"] == "registration_objected")
    assert told["state"] == "degraded"
    for part in ("full nodes object to this node's registration", "nobody is sent to it", "another address"):
        assert part in told["told"]
    log = (network.home / "services" / HOST / "log.jsonl").read_text()
    assert '"reason": "epoch_taken"' in log or '"reason":"epoch_taken"' in log
    offered = httpx.get(f"{network.gateway}/v1/hallmark/nodes", timeout=30).text
    assert told["node"] not in offered
    assert told["node"] not in {asked(network) for _ in range(4)}


def test_two_bundles_for_one_epoch(network: Network, host: Host) -> None:
    """The second enclave of an epoch is refused; the next one, of an epoch of its own, serves again."""
    epoch = host.epoch()
    ahead = epoch + 100_000
    host.again(ahead)
    assert host.until(lambda told: told["state"] == "ready")["reason"] == ""
    host.again(ahead)
    assert host.epoch() == ahead + 1
    refused(network, host)
    host.again(ahead + 1)
    told = host.until(lambda told: told["state"] == "ready")
    end = time.monotonic() + PATIENCE_S
    while told["node"] not in httpx.get(f"{network.gateway}/v1/hallmark/nodes", timeout=30).text:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_clock_that_was_ahead_and_a_store_that_is_lost(network: Network, host: Host) -> None:
    """The epoch is the clock's again, below what the host registered before: it is told what helps."""
    host.again(max(host.epoch(), int(time.time()) + 100_000))
    host.until(lambda told: told["state"] == "ready")
    host.again(None)
    assert host.epoch() < time.time() + 60
    refused(network, host)
    assert "clock" in host.health()["told"]
