"""A whole network in which one service's disk after the other is really full."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hallmark.compose.home import Home
from hallmark.compose.plan import load_plan
from hallmark.testing.chaos_audit import audit
from hallmark.testing.real_network import Network, hallmark, start_network

pytestmark = pytest.mark.integration

BODY = {"model": "pydoc", "prompt": "What does os.mkfifo do?"}
LIMITED = ("log", "gateway", "node-1", "node-2", "fullnode-1", "fullnode-2")
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network whose services keep their stores and log lines on file systems of 32 MiB each."""
    if shutil.which("mount") is None:
        pytest.skip("mount is not installed")
    home = tmp_path_factory.mktemp("cramped") / "home"
    mounted: list[Path] = []
    try:
        for name in LIMITED:
            folder = home / "services" / name
            folder.mkdir(parents=True)
            mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
            if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
                pytest.skip("this account may not mount a file system")
            mounted.append(folder)
        start_network(home, "--no-ask")
        yield Network(home)
        assert hallmark(home, "down").returncode == 0
    finally:
        for folder in mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


@contextlib.contextmanager
def full(network: Network, *names: str) -> Iterator[None]:
    """No byte more fits beside these services' stores, for as long as the block lasts."""
    ballast = [network.home / "services" / name / "ballast" for name in names]
    for path in ballast:
        with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65_536))
        with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))
    try:
        yield
    finally:
        for path in ballast:
            path.unlink()


def post(network: Network, policy: str = "") -> httpx.Response:
    """One whole answer, withheld by `policy` if there is one."""
    headers = {"hallmark-policy": policy} if policy else {}
    return httpx.post(f"{network.gateway}/v1/completions", json=BODY, headers=headers, timeout=60)


def wait_for(network: Network, names: tuple[str, ...], state: str, reason: str) -> None:
    """Until these services say so of themselves."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = network.status()
        if all((status[name]["state"], status[name]["reason"]) == (state, reason) for name in names):
            return
        assert time.monotonic() < deadline, status


def clears(network: Network) -> None:
    """An answer clears within bounded time, without anybody starting anything again."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := post(network, "witnessed")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
    assert network.ended() == ""


def test_a_cramped_network_starts(cramped: Network) -> None:
    """Nothing ends and is started again while the network starts."""
    assert cramped.ended() == ""


@pytest.mark.parametrize(
    ("names", "plain", "withheld"),
    [
        (("log",), (200, ""), (412, "held")),
        (("gateway",), (200, ""), (200, "")),
        (("node-1", "node-2"), (503, "no_node"), (503, "no_node")),
        (("fullnode-1", "fullnode-2"), (200, ""), (412, "held")),
    ],
    ids=["log", "gateway", "nodes", "full nodes"],
)
def test_a_full_disk(
    cramped: Network, names: tuple[str, ...], plain: tuple[int, str], withheld: tuple[int, str]
) -> None:
    """The service says `store_full`, clients get an answer with its receipt or a reason, and all goes on
    once there is room.
    """
    with full(cramped, *names):
        for expected, policy in ((plain, ""), (withheld, "witnessed")):
            answer = post(cramped, policy)
            code = answer.json()["error"]["code"] if answer.status_code != 200 else ""
            assert (answer.status_code, code) == expected, answer.text
        wait_for(cramped, names, "degraded", "store_full")
        if "node-1" in names:
            assert "receipt_not_stored" in post(cramped).text
    clears(cramped)
    if "log" in names or "node-1" in names:
        wait_for(cramped, names, "ready", "")


def test_nothing_is_half_written(cramped: Network) -> None:
    """After all of it the log decodes, no receipt chain has a gap, and every root is the same everywhere."""
    plan = load_plan(Home(cramped.home))
    stores = [cramped.home / f"services/fullnode-{n}/store.db" for n in range(1, 5)]
    mirrors = [f"http://127.0.0.1:{port}" for port in plan.full_nodes]

    async def look() -> tuple[str, ...]:
        async with httpx.AsyncClient(timeout=30) as client:
            found = await audit(client, f"http://127.0.0.1:{plan.log_port}", stores, mirrors)
            assert found.receipts > 0
            return found.problems

    assert asyncio.run(look()) == ()
