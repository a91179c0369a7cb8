"""Other people's Walrus and S3 for tests: a client of PyPI, Mysten's own encoder of npm, an S3 server, in
environments of their own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from hallmark.services.chain.toolchain import find_node, repository_root
from hallmark.testing.ports import free_port
from hallmark.testing.stock_environments import npm_folder_of, python_of

CLIENTS: Final = repository_root() / "tests" / "integration" / "walrus_clients"
PATIENCE_S: Final = 300


def oracle(cases: Sequence[dict[str, Any]]) -> list[Any]:
    """What Mysten's packages make of each case: `{shards, data}` gives a blob ID, `{shards, parts}` a quilt's
    `size`, `sha256` and `patches`; `{shards, data, sizes, symbol}` row or column and SHA-256 of every primary
    and every secondary sliver, by pair; `{message, keys, signed, sum}` whether BLS signatures and their sum
    hold, and the sum. Data are base64.
    """
    script = npm_folder_of("walrus-npm", CLIENTS, ["--legacy-peer-deps"]) / "oracle.mjs"
    done = subprocess.run(
        [str(find_node().node), str(script)],
        input=json.dumps(list(cases)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    return results


def walrus_python(url: str) -> dict[str, Any]:
    """What walrus-python says of a store after it did everything that it can do."""
    command = [str(python_of("walrus-py", CLIENTS / "requirements.txt")), str(CLIENTS / "client.py"), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """A running S3 server: its URL, and the file with the key of its bucket `blobs`. It wants every request
    signed.
    """
    command = [
        str(python_of("walrus-py", CLIENTS / "requirements.txt")),
        str(CLIENTS / "s3_server.py"),
        str(free_port()),
    ]
    with (folder / "s3.log").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "s3.log").read_text()
            said = json.loads(line)
            keys = folder / "s3.keys"
            keys.write_text(f"{said['access']} {said['secret']}\n")
            yield said["url"], keys
        finally:
            process.kill()
            process.communicate()
