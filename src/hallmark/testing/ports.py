"""Loopback ports for what a test starts: each worker has a range of its own and goes around in it, so that
nobody takes the port of a process that another test has just killed and will start again.

Runs of pytest beside each other have other workers each: HALLMARK_TEST_FIRST_WORKER says where theirs begin.
Whole networks look for theirs above (`compose.plan.FIRST_PORT`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

FIRST_PORT, LAST_PORT, WORKERS = 12_000, 21_200, 5
SPAN = (LAST_PORT - FIRST_PORT) // WORKERS


def free_port() -> int:
    """A port on which nobody listens. Raises OSError when there is none."""
    for _ in range(SPAN):
        port = next(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


def free_ports(count: int) -> list[int]:
    """So many of them."""
    return [free_port() for _ in range(count)]


def _range() -> Iterator[int]:
    """The worker's ports, round and round, from a place that depends on the process."""
    first = int(os.environ.get("HALLMARK_TEST_FIRST_WORKER", "0"))
    worker = (first + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))) % WORKERS
    start = os.getpid() * 37
    return (FIRST_PORT + worker * SPAN + (start + step) % SPAN for step in itertools.count())


_PORTS = _range()
