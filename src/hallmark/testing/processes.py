"""A real log and real full nodes as processes on loopback, with a little network that speaks to them."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.http.serve import Listen
from hallmark.ledger.policy import Policy
from hallmark.ledger.tiles import decode_bundle
from hallmark.services.fullnode.settings import Settings as FullNodeSettings
from hallmark.services.log.settings import Settings as LogSettings
from hallmark.store import sqlite_url
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import Party
from hallmark.testing.ports import free_ports

PATIENCE_S = 240.0


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Process:
    """One service process."""

    def __init__(self, folder: Path, name: str, service: str, settings: Any, *options: str) -> None:
        self.name, self.folder = name, folder
        self.url = f"http://127.0.0.1:{settings.listen.port}"
        config = folder / f"{name}.json"
        config.write_bytes(msgspec.json.encode(settings))
        self._command = [
            sys.executable, "-m", f"hallmark.services.{service}", "--config", str(config), *options
        ]  # fmt: skip
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        """Start it; returns itself at once."""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._running = subprocess.Popen(self._command, stderr=log, stdout=log)
        return self

    def ready(self) -> Process:
        """Wait until it answers /healthz; returns itself."""
        patiently(lambda: httpx.get(f"{self.url}/healthz", timeout=2).status_code < 500, self.name)
        return self

    def signal(self, number: int) -> None:
        """Send a signal to it."""
        if self._running is not None:
            self._running.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                self._running.send_signal(signal.SIGCONT)
                self._running.kill()
            self._running.wait()
            self._running = None

    def status(self) -> dict[str, Any]:
        """GET /status."""
        found: dict[str, Any] = httpx.get(f"{self.url}/status", timeout=5).json()
        return found


def patiently(holds: Any, what: str, seconds: float = PATIENCE_S) -> None:
    """Wait until `holds()`; raises AssertionError naming `what` when it does not in time."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.HTTPError, KeyError, json.JSONDecodeError):
            if holds():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.02)


class RealNetwork(DevelopmentNetwork):
    """A little network whose entries go into a real log; its leaves follow what that log says."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.start = now_ms()
        super().__init__(found=False, **options)
        self.folder = folder
        self.notary = Notary(self)
        log_port, *ports = free_ports(1 + len(self.full_nodes))
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.log = Process(folder, "log", "log", self._log_settings(log_port))
        self.watchers = [
            Process(folder, f"fullnode-{number}", "fullnode", self._settings(party, port))
            for number, (party, port) in enumerate(zip(self.full_nodes, ports, strict=True))
        ]

    @property
    def policy_text(self) -> str:
        """The notary's tlog-policy with the full nodes' addresses."""
        lines, urls = [], iter(self.urls)
        for line in self.notary.policy_text.splitlines():
            lines.append(f"{line} {next(urls)}" if line.startswith("witness") else line)
        return "\n".join(lines) + "\n"

    @property
    def owners(self) -> tuple[str, ...]:
        """Whom the log's operator vouches for: the owners of the nodes, and the models' maker."""
        owners = (*(node.owner for node in self.nodes), self.maker)
        return tuple(hex0x(owner.address) for owner in owners)

    @property
    def policy(self) -> Policy:
        """The same, parsed."""
        return Policy.parse(self.policy_text)

    def add(self, entry: Entry | bytes, admitted: int | None = None) -> int:
        """Submit to the log, then follow it; the entry's index."""
        if admitted is not None:
            return super().add(entry, admitted)
        data = entry if isinstance(entry, bytes) else entry.encode()
        answer: httpx.Response | None = None

        def taken() -> bool:
            nonlocal answer
            answer = httpx.post(f"{self.log.url}/add", content=data, timeout=10)
            return answer.status_code == 200

        patiently(taken, "the log takes an entry")
        assert answer is not None
        self.follow()
        return int(answer.json()["index"])

    def follow(self) -> None:
        """Take over the leaves that the log has by now."""
        self.now = now_ms()
        given: list[bytes] = []

        def answers() -> bool:
            # A log that was killed stands by until the lease of its last run has ended.
            response = httpx.get(f"{self.log.url}/leaves?start={len(self.leaves)}&wait=0", timeout=10)
            given.extend([response.content] if response.is_success else [])
            return response.is_success

        patiently(answers, "the log gives its leaves")
        for leaf in decode_bundle(given[0]):
            super().add(leaf[8:], int.from_bytes(leaf[:8], "big"))

    def witnessed(self) -> int:
        """The size that a quorum has cosigned."""
        return int(httpx.get(f"{self.log.url}/head", timeout=5).json()["cosigned_size"])

    def proof(self, index: int) -> str:
        """The log's proof of an entry, once it is witnessed."""
        response = httpx.get(f"{self.log.url}/proof/{index}?wait=20000", timeout=30)
        response.raise_for_status()
        return response.text

    def full_node(self, party: Party, *options: str) -> Process:
        """Another full node, not started."""
        (port,) = free_ports(1)
        return Process(
            self.folder, party.name.replace(" ", "-"), "fullnode", self._settings(party, port), *options
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[RealNetwork]:
        """Log and full nodes up, founding entries logged; everything is killed at the end."""
        try:
            for process in (*self.watchers, self.log):
                process.start()
            for process in (*self.watchers, self.log):
                process.ready()
            self.found()
            patiently(lambda: self.witnessed() >= len(self.leaves), "the founding entries are witnessed")
            yield self
        finally:
            for process in (self.log, *self.watchers):
                process.kill()

    def _log_settings(self, port: int) -> LogSettings:
        return LogSettings(
            listen=Listen(port),
            origin=self.genesis.origin,
            chain_id=self.genesis.chain_id,
            key_file=self._secret("log.seed", self.notary.log_seed),
            database=sqlite_url(self.folder / "log.db"),
            policy=self.policy_text,
            authority=tuple(hex0x(address) for address in self.genesis.authority),
            threshold=self.genesis.threshold,
            owners=self.owners,
            lease_ms=1_000,
        )

    def _settings(self, party: Party, port: int) -> FullNodeSettings:
        name = party.name.replace(" ", "-")
        return FullNodeSettings(
            listen=Listen(port),
            origin=self.genesis.origin,
            chain_id=self.genesis.chain_id,
            authority=tuple(hex0x(address) for address in self.genesis.authority),
            threshold=self.genesis.threshold,
            log_vkey=self.notary.log.vkey,
            log_url=self.log.url,
            witness_name=self.notary.witness(party).verifier.name,
            seed_file=self._secret(f"{name}.seed", self.notary.witness_seed(party)),
            key_file=self._secret(f"{name}.key", party.key.secret),
            database=sqlite_url(self.folder / f"{name}.db"),
        )

    def _secret(self, name: str, secret: bytes) -> str:
        path = self.folder / name
        path.write_text(secret.hex())
        return str(path)
