"""Kill runs on a whole network of its own: 8 seeds, or as many as HALLMARK_CHAOS_RUNS says; 3 where
everything is paid for (HALLMARK_CHAOS_PAID_RUNS).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hallmark.testing.chaos_runs import campaign
from hallmark.testing.real_network import Network, hallmark, start_network

pytestmark = pytest.mark.integration

PAID_RUNS = int(os.environ.get("HALLMARK_CHAOS_PAID_RUNS", "3"))


@pytest.fixture
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network that may be killed."""
    home = tmp_path_factory.mktemp("chaos") / "home"
    start_network(home, "--no-ask")
    yield Network(home)
    stopped = hallmark(home, "down")
    assert stopped.returncode == 0, stopped.stderr


def test_what_kills_leave_behind(killable: Network) -> None:
    """Every client holds a signed whole answer, an error with a code, or a broken connection; every receipt
    that a client got is witnessed; the log decodes, is dense, and has one root per size everywhere.
    """
    seeds = range(int(os.environ.get("HALLMARK_CHAOS_RUNS", "8")))
    report = asyncio.run(campaign(killable, seeds))
    print(f"\n{report.table()}")
    assert report.problems == []
    assert report.audit.objections == 0
    assert sum(row.answered for row in report.rows) > 0
    assert sum(len(row.killed) for row in report.rows) >= len(report.rows)


def test_what_kills_leave_of_money(tmp_path: Path) -> None:
    """Where every request is paid: records charge no more than was reserved, no payment is in two receipts,
    and the vault has what they say and what was reserved for requests that ended without one, at most.
    """
    home = tmp_path / "home"
    start_network(home, "--no-ask", "--paid")
    try:
        report = asyncio.run(campaign(Network(home), range(100, 100 + PAID_RUNS), pays=True))
    finally:
        assert hallmark(home, "down").returncode == 0
    print(f"\n{report.table()}")
    assert report.problems == []
    assert sum(row.answered for row in report.rows) > 0
