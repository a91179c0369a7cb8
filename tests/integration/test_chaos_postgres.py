"""A whole network whose log keeps its entries in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from hallmark.compose.home import Home
from hallmark.compose.ports import claim_plan
from hallmark.testing import postgres
from hallmark.testing.real_network import Network, hallmark, logs, prepare_home

pytestmark = pytest.mark.integration

BASE = 31_600
"""Above where networks look for ports: between making the plan and starting, another one would take them."""


def test_a_network_with_its_log_in_postgresql(tmp_path: Path) -> None:
    """An answer clears; the entries are in PostgreSQL and in no file; they are there after a restart."""
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL server binaries")
    home = tmp_path / "home"
    with postgres.server() as url:
        made, claimed = claim_plan(Home(home), BASE)
        claimed.close()
        plan = msgspec.structs.replace(made, log_database=url)
        Home(home).write(msgspec.json.encode(plan), "network.json")
        prepare_home(home)
        network, sizes = Network(home), []
        for _ in range(2):
            started = hallmark(home, "up", "--detach", "--no-ask")
            assert started.returncode == 0, started.stdout + started.stderr + logs(home)
            try:
                done = network.run("ask", "What does os.mkfifo do?", "--require", "witnessed")
                assert done.returncode == 0, done.stdout + done.stderr
                assert "meets witnessed" in done.stdout
            finally:
                assert hallmark(home, "down").returncode == 0
            with sa.create_engine(url).connect() as connection:
                sizes.append(connection.scalar(sa.text("SELECT count(*) FROM log_leaves")))
        assert not list((home / "services" / "log").glob("*.db*"))
        assert 0 < sizes[0] < sizes[1]
