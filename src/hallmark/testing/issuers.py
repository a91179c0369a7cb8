"""An issuer as a process of its own on a real chain, a log that takes everything, and payers who buy."""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.eip3009 import TokenDomain
from hallmark.core.money import Asset
from hallmark.http.client import Pool
from hallmark.http.serve import Listen
from hallmark.services.issuer.settings import Settings
from hallmark.services.sdk.issuer_client import IssuerClient
from hallmark.services.sdk.network import Chain
from hallmark.services.sdk.token_store import TokenStore
from hallmark.services.sdk.tokens import Tokens
from hallmark.services.sdk.wallet import Wallet
from hallmark.testing.anvil import CHAIN_ID
from hallmark.testing.ports import free_port
from hallmark.testing.vaults import named_key

ORIGIN: Final = "hallmark.tests/issuer"
NETWORK: Final = network_id(ORIGIN)
ISSUER: Final = named_key("issuer of tokens")
UNIT: Final = 10


class _Adding(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Every entry gets a place."""
        data = self.rfile.read(int(self.headers["content-length"]))
        count, at = 0, 0
        while at < len(data):
            at += 4 + int.from_bytes(data[at : at + 4], "big")
            count += 1
        body = json.dumps({"results": [{"index": n, "admitted": 1} for n in range(count)]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def taking_log() -> Iterator[str]:
    """A log that gives every entry a place; its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), _Adding)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def asset_of(token: TokenDomain) -> Asset:
    """The development token as offers name it."""
    return Asset(CHAIN_ID, hex0x(token.token), 6, "DEV", token.name, token.version, development=True)


def issuer_settings(folder: Path, rpc_url: str, log_url: str, token: TokenDomain, **more: Any) -> Settings:
    """Settings of an issuer for tests: it pays out at once."""
    (folder / "issuer.key").write_text(ISSUER.secret.hex())
    given: dict[str, Any] = {
        "listen": Listen(free_port()),
        "database": f"sqlite:///{folder}/issuer.db",
        "log_url": log_url,
        "origin": ORIGIN,
        "rpc_url": rpc_url,
        "chain_id": CHAIN_ID,
        "key_file": str(folder / "issuer.key"),
        "asset": asset_of(token),
        "unit": UNIT,
        "pay_after_ms": 200,
        "poll_ms": 50,
    }
    return Settings(**(given | more))


class IssuerProcess:
    """An issuer that is killed, as by a power cut, and started again over the same database."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.settings, self.url = settings, f"http://127.0.0.1:{settings.listen.port}"
        self._file, self._log = folder / "settings.json", folder / "issuer.jsonl"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it sells."""
        self._file.write_bytes(msgspec.json.encode(self.settings))
        argv = [sys.executable, "-m", "hallmark.services.issuer", "--config", str(self._file)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(600):
            assert self._process.poll() is None, self._log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/v1/issuer/keys", timeout=5).json()["on_sale"]:
                    return
            time.sleep(0.05)
        raise AssertionError("the issuer sells nothing")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@contextlib.contextmanager
def running_issuer(folder: Path, settings: Settings) -> Iterator[IssuerProcess]:
    """An issuer as a process of its own."""
    issuer = IssuerProcess(folder, settings)
    issuer.start()
    try:
        yield issuer
    finally:
        issuer.kill()


def tokens_of_home(
    home: Path, issuer: str, rpc_url: str, token: TokenDomain, *, payer: Wallet, pool: Pool
) -> Tokens:
    """A payer's tokens."""
    chain = Chain(rpc_url, CHAIN_ID, hex0x(token.token), hex0x(bytes(20)), development=True)
    client = IssuerClient(issuer, pool)
    return Tokens(TokenStore(home), lambda: client, lambda: payer, lambda: chain, network=NETWORK)
