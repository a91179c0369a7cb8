"""A blob store on four storage nodes, all of them processes, at a thousand shards; what is killed and wiped
comes back, and nothing of it is lost.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.http.serve import Listen
from hallmark.hub import blob_text
from hallmark.services.hub.settings import Settings as HubSettings
from hallmark.services.storage_node.settings import Settings
from hallmark.store import sqlite_url
from hallmark.testing.committees import committee_file, secret_of
from hallmark.testing.ports import free_port, free_ports
from hallmark.testing.processes import Process, patiently

pytestmark = pytest.mark.integration

NODES = 4
DATA = bytes((7 * i + 13) % 256 for i in range(256)) * 2_048
"""Half a mebibyte."""
NAME = "h5Sy5_cYlkOen7965_9ciaSR1nu6J3k7-Q46uy_pRcQ"
"""Its blob ID."""


class Network:
    """Four nodes and a hub."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.committee = folder, folder / "committee.json"
        ports = free_ports(NODES)
        file = committee_file([f"http://127.0.0.1:{port}" for port in ports], shards=1000)
        self.committee.write_bytes(msgspec.json.encode(file))
        self.nodes = [self._node(index, port) for index, port in enumerate(ports)]
        settings = HubSettings(
            Listen(free_port()),
            str(folder / "hub"),
            sqlite_url(folder / "objects.db"),
            storage=f"slivers+file://{self.committee}?grace_s=3600&answer_s=120",
            anonymous=True,
            free=0,
            challenge_every_s=0.0,
        )
        self.hub = Process(folder, "hub-process", "hub", settings)

    def _node(self, index: int, port: int) -> Process:
        key = self.folder / f"node-{index}.key"
        key.write_text(hex0x(secret_of(f"node-{index}")))
        settings = Settings(
            Listen(port),
            str(self.folder / f"node-{index}"),
            str(self.committee),
            f"node-{index}",
            str(key),
            anonymous=True,
            free=0,
            look_every_s=3_600.0,
        )
        return Process(self.folder, f"node-{index}-process", "storage_node", settings)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `hallmark` command."""
        command = [sys.executable, "-m", "hallmark.apps.cli.main", "blob", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    def slivers(self, index: int) -> Path:
        """Where a node's slivers of the blob are."""
        return self.folder / f"node-{index}" / "blobs" / NAME[:2] / NAME


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One network for all tests of this file."""
    made = Network(tmp_path_factory.mktemp("slivers"))
    everything = [*made.nodes, made.hub]
    for process in everything:
        process.start()
    try:
        for process in everything:
            process.ready()
        yield made
    finally:
        for process in everything:
            process.kill()


def test_kills_and_wiped_disks_lose_nothing(network: Network) -> None:
    """The hub is killed while half of the nodes have not answered: there is no blob. Put again, it reads and
    its certificate verifies while a node is away, which comes back with an empty disk and makes its slivers
    again.
    """
    _killed_put(network)
    put = httpx.put(f"{network.hub.url}/v1/blobs", content=DATA, timeout=300)
    assert put.json()["newlyCreated"]["blobObject"]["blobId"] == NAME, put.text
    network.nodes[2].kill()
    lost = network.slivers(2)
    before = lost.read_bytes()
    shutil.rmtree(network.folder / "node-2" / "blobs")
    verified = network.cli("verify", NAME, "--store", network.hub.url, "--committee", str(network.committee))
    assert verified.returncode == 0, verified.stderr
    assert "its ID holds" in verified.stdout
    assert "4 of 4 storage nodes, which have 1000 of 1000 shards" in verified.stdout
    challenged = network.cli("challenge", NAME, "--committee", str(network.committee))
    assert challenged.returncode == 4
    assert [line.split(": ")[1] for line in challenged.stdout.splitlines()].count("connect_failed") == 1
    network.nodes[2].start().ready()
    patiently(lost.exists, "the wiped node has its slivers again")
    assert lost.read_bytes() == before


def _killed_put(network: Network) -> None:
    """Two nodes stand still, so that no quorum can sign; the hub is killed when another has its slivers."""
    staging, records = network.folder / "hub" / "staging", network.folder / "hub" / "records"

    def put() -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.put(f"{network.hub.url}/v1/blobs", content=DATA, timeout=300)

    standing = network.nodes[:2]
    for node in standing:
        node.signal(signal.SIGSTOP)
    sender = threading.Thread(target=put)
    sender.start()
    patiently(network.slivers(3).exists, "a node has its slivers")
    network.hub.kill()
    sender.join()
    for node in standing:
        node.signal(signal.SIGCONT)
    assert not list(records.iterdir())
    network.hub.start().ready()
    assert [path.name for path in staging.iterdir()] == ["lock"]
    for path in (f"/v1/blobs/{NAME}/certificate", f"/v1/blobs/{blob_text(bytes(32))}"):
        assert httpx.get(network.hub.url + path, timeout=60).status_code == 404
