"""Stock x402 clients and shops for tests, of PyPI and of npm, each in an environment of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from hallmark.services.chain.toolchain import find_node, repository_root
from hallmark.testing.ports import free_port
from hallmark.testing.stock_environments import npm_folder_of, python_of

CLIENTS: Final = repository_root() / "tests" / "integration" / "x402_clients"
PATIENCE_S: Final = 300


def python() -> Path:
    """The interpreter of an environment with `x402_clients/requirements.txt`."""
    return python_of("x402-py", CLIENTS / "requirements.txt")


def npm_folder() -> Path:
    """A folder with the packages of `x402_clients/package-lock.json`, and the scripts beside them."""
    return npm_folder_of("x402-npm", CLIENTS, ["--legacy-peer-deps"])


def command(script: str) -> list[str]:
    """How to run `pay.py`, `shop.py`, `pay.mjs` or `shop.mjs`."""
    if script.endswith(".py"):
        return [str(python()), str(CLIENTS / script)]
    return [str(find_node().node), str(npm_folder() / script)]


def pay(script: str, folder: Path, key: bytes, rpc: str, orders: Sequence[dict[str, Any]]) -> list[Any]:
    """What became of each order, in the order of its times: `status`, `body`, `chunks`, `payment`."""
    said = folder / f"orders-{script}.json"
    said.write_text(json.dumps({"key": f"0x{key.hex()}", "rpc": rpc, "orders": list(orders)}))
    done = subprocess.run(
        [*command(script), str(said)], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return results


@contextlib.contextmanager
def shop(script: str, folder: Path, settings: dict[str, Any]) -> Iterator[str]:
    """A running shop; its URL."""
    port = free_port()
    said = folder / f"settings-{script}.json"
    said.write_text(json.dumps({**settings, "port": port}))
    with (folder / f"{script}.log").open("w") as log:
        process = subprocess.Popen([*command(script), str(said)], stdout=log, stderr=log)
        try:
            for _ in range(1_200):
                assert process.poll() is None, (folder / f"{script}.log").read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)
